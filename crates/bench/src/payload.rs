//! What messages hold: message `n` is the words `n`, `n + 1`, and so on. All of them are written, and all of
//! them are checked, by the same code for every contender.

/// A message of `N` words.
#[inline(always)]
pub fn words<const N: usize>(n: u64) -> [u64; N] {
    std::array::from_fn(|i| n.wrapping_add(i as u64))
}

/// Checks what [`words`] made.
///
/// # Panics
/// If it is another message.
#[inline(always)]
pub fn check_words<const N: usize>(words: &[u64; N], n: u64) {
    check_slice(words, n);
}

/// Fills a message in place.
#[inline(always)]
pub fn fill_slice(words: &mut [u64], n: u64) {
    for (i, word) in words.iter_mut().enumerate() {
        *word = n.wrapping_add(i as u64);
    }
}

/// Checks a message in place.
///
/// # Panics
/// If it is another one.
#[inline(always)]
pub fn check_slice(words: &[u64], n: u64) {
    let wrong =
        words.iter().enumerate().fold(0, |bad, (i, word)| bad | (word ^ n.wrapping_add(i as u64)));
    sound(wrong, n);
}

/// Fills a message of whole words in place, wherever it lies.
#[inline(always)]
pub fn fill_bytes(bytes: &mut [u8], n: u64) {
    for (i, word) in bytes.as_chunks_mut().0.iter_mut().enumerate() {
        *word = n.wrapping_add(i as u64).to_ne_bytes();
    }
}

/// Checks a message of whole words in place, wherever it lies.
///
/// # Panics
/// If it is another one.
#[inline(always)]
pub fn check_bytes(bytes: &[u8], n: u64) {
    let words = bytes.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word));
    let wrong = words.enumerate().fold(0, |bad, (i, word)| bad | (word ^ n.wrapping_add(i as u64)));
    sound(wrong, n);
}

#[inline(always)]
fn sound(wrong: u64, n: u64) {
    if wrong != 0 {
        unsound(n);
    }
}

#[cold]
#[inline(never)]
fn unsound(n: u64) -> ! {
    panic!("message {n} is not what was sent");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_changed_bit_is_found() {
        let mut bytes = [0; 64];
        fill_bytes(&mut bytes, 7);
        check_bytes(&bytes, 7);
        check_words(&words::<8>(7), 7);
        for byte in 0..bytes.len() {
            let mut changed = bytes;
            changed[byte] ^= 1;
            std::panic::catch_unwind(|| check_bytes(&changed, 7)).expect_err("it was changed");
            let changed: [u64; 8] =
                std::array::from_fn(|i| u64::from_ne_bytes(changed.as_chunks().0[i]));
            std::panic::catch_unwind(|| check_words(&changed, 7)).expect_err("it was changed");
        }
    }
}
