//! A synthetic video frame: every byte follows from the frame's number and the byte's place.
//!
//! A frame is 64 bytes of front and its pixels. The front has the frame's number, the time at which its
//! hand-over began, the time at which its round began, and five words of pattern. The pixels are 64-bit
//! words, each the one before plus an odd constant, so no two places of a frame look alike.

/// Bytes before the pixels: one cache line, so that pixels begin at one.
pub(super) const FRONT: usize = 64;

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
const LANES: usize = 8;
const BLOCK: usize = 8 * LANES;

/// A wrong byte.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    frame: u64,
    /// Where in the record; `None` if it was right when it was looked at again.
    offset: Option<usize>,
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.offset {
            Some(offset) => write!(f, "frame {}: the byte at offset {offset} is wrong", self.frame),
            None => write!(f, "frame {}: a byte changed while it was read", self.frame),
        }
    }
}

/// Nanoseconds of a clock that all processes share.
#[cfg(unix)]
pub(super) fn now() -> u64 {
    use nix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC);
    // A machine without this clock does not exist; if it did, all latencies would read 0.
    time.map_or(0, |t| t.tv_sec().cast_unsigned() * 1_000_000_000 + t.tv_nsec().cast_unsigned())
}

/// The same. Whoever sets the clock meanwhile spoils a figure.
#[cfg(windows)]
pub(super) fn now() -> u64 {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    time.map_or(0, |time| time.as_nanos() as u64)
}

/// Scatters frame numbers, so that no two frames share a word at any place.
fn seed(frame: u64) -> u64 {
    let mixed = (frame ^ 0x5bd1_e995_7b93_1a4d).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

/// The words of the first block of pixels. Eight sums at a time: the compiler makes vectors of them.
fn lanes(frame: u64) -> [u64; LANES] {
    let seed = seed(frame);
    std::array::from_fn(|lane| seed.wrapping_add((lane as u64).wrapping_mul(STEP)))
}

const STRIDE: u64 = STEP.wrapping_mul(LANES as u64);

fn block_of(lanes: &[u64; LANES]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    for (word, lane) in block.as_chunks_mut().0.iter_mut().zip(lanes) {
        *word = lane.to_le_bytes();
    }
    block
}

fn word_at(bytes: &[u8], index: usize) -> u64 {
    let words = bytes.as_chunks().0;
    words.get(index).map_or(0, |word| u64::from_le_bytes(*word))
}

/// Writes a whole frame, and last the time at which its hand-over begins.
pub(super) fn write(frame: u64, round_start: u64, bytes: &mut [u8]) {
    let Some((front, pixels)) = bytes.split_at_mut_checked(FRONT) else { return };
    let mut lanes = lanes(frame);
    let mut head = lanes;
    (head[0], head[2]) = (frame, round_start);
    let (blocks, rest) = pixels.as_chunks_mut::<BLOCK>();
    for block in blocks {
        for (word, lane) in block.as_chunks_mut().0.iter_mut().zip(&mut lanes) {
            *word = lane.to_le_bytes();
            *lane = lane.wrapping_add(STRIDE);
        }
    }
    rest.copy_from_slice(&block_of(&lanes)[..rest.len()]);
    head[1] = now();
    front.copy_from_slice(&block_of(&head));
}

/// The times that a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) handed_over: u64,
    pub(super) round_start: u64,
}

/// Checks each byte of a frame.
pub(super) fn check(frame: u64, bytes: &[u8]) -> Result<Times, Wrong> {
    let Some((front, pixels)) = bytes.split_at_checked(FRONT) else {
        return Err(Wrong { frame, offset: Some(bytes.len()) });
    };
    let times = Times { handed_over: word_at(front, 1), round_start: word_at(front, 2) };
    let mut lanes = lanes(frame);
    let mut odd = word_at(front, 0) ^ frame;
    for (index, lane) in lanes.iter().enumerate().skip(3) {
        odd |= word_at(front, index) ^ lane;
    }
    let mut odds = [0; LANES];
    let (blocks, rest) = pixels.as_chunks::<BLOCK>();
    for block in blocks {
        for ((word, lane), odd) in block.as_chunks().0.iter().zip(&mut lanes).zip(&mut odds) {
            *odd |= u64::from_le_bytes(*word) ^ *lane;
            *lane = lane.wrapping_add(STRIDE);
        }
    }
    odd |= odds.iter().fold(0, |all, odd| all | odd);
    if odd == 0 && rest == &block_of(&lanes)[..rest.len()] {
        return Ok(times);
    }
    Err(find(frame, times.round_start, times.handed_over, bytes))
}

/// Looks for the first wrong byte, slowly.
#[cold]
fn find(frame: u64, round_start: u64, handed_over: u64, bytes: &[u8]) -> Wrong {
    let mut right = vec![0; bytes.len()];
    write(frame, round_start, &mut right);
    if let Some(place) = right.get_mut(8..16) {
        place.copy_from_slice(&handed_over.to_le_bytes());
    }
    Wrong { frame, offset: bytes.iter().zip(&right).position(|(is, should)| is != should) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(number: u64, pixels: usize) -> Vec<u8> {
        let mut bytes = vec![0xaa; FRONT + 4 * pixels];
        write(number, 77, &mut bytes);
        bytes
    }

    #[test]
    fn a_frame_passes_its_own_check_at_any_size() {
        for pixels in [1, 2, 15, 16, 17, 100, 1000] {
            let times = check(9, &frame(9, pixels)).expect("as written");
            assert_eq!(times.round_start, 77);
            assert!(times.handed_over <= now());
        }
    }

    #[test]
    fn every_wrong_byte_is_found_where_it_is() {
        let right = frame(5, 101);
        // The times are not pattern.
        for offset in (0..8).chain(24..right.len()) {
            let mut bytes = right.clone();
            bytes[offset] ^= 0x10;
            assert_eq!(check(5, &bytes), Err(Wrong { frame: 5, offset: Some(offset) }));
        }
    }

    #[test]
    fn a_frame_is_not_taken_for_another() {
        assert_eq!(check(6, &frame(5, 16)), Err(Wrong { frame: 6, offset: Some(0) }));
        let mut moved = frame(5, 1000);
        moved.copy_within(FRONT + 64..FRONT + 128, FRONT);
        assert_eq!(check(5, &moved), Err(Wrong { frame: 5, offset: Some(FRONT) }));
    }

    #[test]
    fn what_is_too_short_for_a_frame_is_wrong() {
        assert_eq!(check(1, &[0; 10]), Err(Wrong { frame: 1, offset: Some(10) }));
    }

    #[test]
    fn the_sentence_names_frame_and_offset() {
        let wrong = Wrong { frame: 3, offset: Some(70) };
        assert_eq!(wrong.to_string(), "frame 3: the byte at offset 70 is wrong");
    }
}
