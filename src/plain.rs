//! Which values may live in shared memory, and how bytes cross the border.
//!
//! Another process can change a shared byte at any moment, so no Rust reference is ever made to
//! one. Values go in by plain stores, for what is written belongs to the writer; they come out word by
//! word through relaxed atomics while they are small, and by assembly, of which the compiler knows
//! nothing, when they are large. What was copied is private and cannot change
//! any more.
#![allow(unsafe_code, reason = "copies through pointers into shared memory")]

use crate::sync::{AtomicU64, Ordering::Relaxed};
use std::mem::MaybeUninit;
use std::ptr::NonNull;

/// A value that may live in shared memory: every bit pattern is valid, none of its bytes is
/// padding, and it holds no pointer.
///
/// It is implemented for everything that is both [`bytemuck::AnyBitPattern`] and
/// [`bytemuck::NoUninit`]: integers, floats, arrays of them, and `#[repr(C)]` structs that derive
/// `bytemuck::Pod`.
///
/// ```
/// #[repr(C)]
/// #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
/// struct Tick {
///     symbol: u32,
///     volume: u32,
///     price: f64,
/// }
///
/// fn travels<T: ringlane::Plain>() {}
/// travels::<Tick>();
/// travels::<[u8; 56]>();
/// ```
///
/// A reference is refused:
///
/// ```compile_fail
/// fn travels<T: ringlane::Plain>() {}
/// travels::<&'static str>();
/// ```
pub trait Plain: bytemuck::AnyBitPattern + bytemuck::NoUninit + Send {}

impl<T: bytemuck::AnyBitPattern + bytemuck::NoUninit + Send> Plain for T {}

/// Values up to this size are copied word by word, longer ones by vectors, and very long ones by a string
/// instruction.
#[cfg(not(loom))]
const WORDWISE: usize = 56;

/// Loom's atomics are no bytes, so a model copies nothing but words.
#[cfg(loom)]
const WORDWISE: usize = usize::MAX;

/// The word that is `index` words after `at`.
///
/// # Safety
/// It lies in memory that stays mapped while the reference is used, and is aligned.
#[inline(always)]
pub(crate) unsafe fn word_at<'a>(at: NonNull<AtomicU64>, index: usize) -> &'a AtomicU64 {
    // SAFETY: the word is in mapped memory, and so in one allocation with `at`.
    let word = unsafe { at.add(index) };
    // SAFETY: as the contract says; an atomic may be written by others.
    unsafe { word.as_ref() }
}

/// Copies `value` to the words at `to`.
///
/// # Safety
/// `to` points to `size_of::<T>()` bytes, rounded up to whole words, that stay mapped writable for
/// the call.
#[inline(always)]
pub(crate) unsafe fn store<T: Plain>(to: NonNull<AtomicU64>, value: &T) {
    let from = bytemuck::bytes_of(value);
    if from.len() > WORDWISE {
        // SAFETY: the caller vouches for the words that hold `size_of::<T>()` bytes.
        return unsafe { copy(to.as_ptr().cast(), from.as_ptr(), from.len()) };
    }
    let mut words = from.chunks_exact(8);
    let mut index = 0;
    for word in words.by_ref() {
        let bits = u64::from_ne_bytes(word.try_into().expect("chunks of eight"));
        // SAFETY: word `index` lies within the words that the caller vouches for.
        unsafe { word_at(to, index) }.store(bits, Relaxed);
        index += 1;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        // SAFETY: a value that ends within a word has that whole word, by the contract.
        unsafe { word_at(to, index) }.store(u64::from_ne_bytes(last), Relaxed);
    }
}

/// Writes `value` to a place that is ours alone until it is published: with plain stores, which can be of any
/// width, and which let the compiler make the value where it is to lie.
///
/// # Safety
/// `to` points to `size_of::<T>()` bytes that stay mapped writable for the call, and no thread of this
/// process reads or writes them meanwhile. (Another process that does breaks the rules, and reads what it
/// gets: nothing that we do depends on it.)
#[inline(always)]
pub(crate) unsafe fn write<T: Plain>(to: NonNull<u8>, value: &T) {
    #[cfg(not(loom))]
    // SAFETY: as the contract says.
    unsafe {
        to.cast::<T>().as_ptr().write_unaligned(*value);
    }
    #[cfg(loom)]
    // SAFETY: as the contract says; a model has nothing but words.
    unsafe {
        store(to.cast(), value);
    }
}

/// Copies a value out of the words at `from`.
///
/// # Safety
/// As for [`store`], but the words need only be readable.
#[inline(always)]
pub(crate) unsafe fn load<T: Plain>(from: NonNull<AtomicU64>) -> T {
    let size = size_of::<T>();
    if size > WORDWISE {
        // SAFETY: the caller vouches for the words that hold `size` bytes.
        return unsafe { load_copy(from.cast()) };
    }
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: `value` is `size` bytes, zeroed and so initialised, and nobody else has it.
    let to = unsafe { std::slice::from_raw_parts_mut(value.as_mut_ptr().cast::<u8>(), size) };
    for (index, chunk) in to.chunks_mut(8).enumerate() {
        // SAFETY: word `index` lies within the words that the caller vouches for.
        let word = unsafe { word_at(from, index) }.load(Relaxed);
        chunk.copy_from_slice(&word.to_ne_bytes()[..chunk.len()]);
    }
    // SAFETY: all bytes were written and `T: AnyBitPattern` takes any of them.
    unsafe { value.assume_init() }
}

/// Copies a value out by [`copy`].
///
/// # Safety
/// `from` points to `size_of::<T>()` bytes that stay mapped for the call.
#[inline(always)]
unsafe fn load_copy<T: Plain>(from: NonNull<u8>) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: `value` has as many bytes, and the caller vouches for those at `from`.
    unsafe { copy(value.as_mut_ptr().cast(), from.as_ptr(), size_of::<T>()) };
    // SAFETY: all bytes were written and `T: AnyBitPattern` takes any of them.
    unsafe { value.assume_init() }
}

/// Copies a value out of a place of exactly its size.
///
/// # Safety
/// `from` points to `size_of::<T>()` bytes, aligned for `T` or to a word, that stay mapped for the call.
#[inline(always)]
pub(crate) unsafe fn load_exactly<T: Plain>(from: NonNull<u8>) -> T {
    let size = size_of::<T>();
    if size.is_multiple_of(8) && align_of::<T>() >= 8 {
        // SAFETY: whole words, and aligned as such.
        return unsafe { load(from.cast()) };
    }
    if size >= 16 {
        // SAFETY: as the contract says.
        return unsafe { load_copy(from) };
    }
    // SAFETY: as the contract says.
    unsafe { narrow::load(from) }
}

/// Values of less than two words, in the largest units that their alignment allows.
#[cfg(not(loom))]
mod narrow {
    use crate::plain::Plain;
    use crate::sync::{AtomicU8, AtomicU16, AtomicU32, Ordering::Relaxed};
    use std::ptr::NonNull;

    /// # Safety
    /// `from` points to `size_of::<T>()` bytes, aligned for `T`, that stay mapped.
    #[inline(always)]
    pub(super) unsafe fn load<T: Plain>(from: NonNull<u8>) -> T {
        let mut bytes = [0; 16];
        macro_rules! units {
            ($atomic:ty) => {
                let units = bytes.chunks_exact_mut(size_of::<$atomic>());
                for (index, unit) in units.take(size_of::<T>() / size_of::<$atomic>()).enumerate() {
                    // SAFETY: within the bytes, by the contract.
                    let at = unsafe { from.cast::<$atomic>().add(index) };
                    // SAFETY: mapped and aligned, by the contract.
                    unit.copy_from_slice(&unsafe { at.as_ref() }.load(Relaxed).to_ne_bytes());
                }
            };
        }
        match align_of::<T>() {
            1 => {
                units!(AtomicU8);
            }
            2 => {
                units!(AtomicU16);
            }
            _ => {
                units!(AtomicU32);
            }
        }
        bytemuck::pod_read_unaligned(&bytes[..size_of::<T>()])
    }
}

/// A model has nothing but words.
#[cfg(loom)]
mod narrow {
    use std::ptr::NonNull;

    pub(super) unsafe fn load<T>(_from: NonNull<u8>) -> T {
        unreachable!("models use whole words");
    }
}

/// Whether [`swap_pair`] is there.
pub(crate) fn has_pairs() -> bool {
    #[cfg(all(target_arch = "x86_64", not(loom)))]
    return std::is_x86_feature_detected!("cmpxchg16b");
    #[cfg(not(all(target_arch = "x86_64", not(loom))))]
    return false;
}

/// Compares two words with `seen` and, if they are the same, replaces them by `new`, in one step that orders
/// everything. Whether it did.
///
/// # Safety
/// `at` points to two words, aligned to 16 bytes, that stay mapped writable for the call; [`has_pairs`].
#[inline(always)]
pub(crate) unsafe fn swap_pair(at: NonNull<AtomicU64>, seen: [u64; 2], new: [u64; 2]) -> bool {
    #[cfg(all(target_arch = "x86_64", not(loom)))]
    {
        let done: u8;
        // SAFETY: the words are valid by the contract. rbx, of which the compiler knows nothing, is as before
        // when this ends; what else changes is declared.
        unsafe {
            std::arch::asm!(
                "xchg {low}, rbx",
                "lock cmpxchg16b [rdi]",
                "sete {done}",
                "mov rbx, {low}",
                low = inout(reg) new[0] => _,
                done = out(reg_byte) done,
                in("rdi") at.as_ptr(),
                in("rcx") new[1],
                inout("rax") seen[0] => _,
                inout("rdx") seen[1] => _,
                options(nostack),
            );
        }
        done != 0
    }
    #[cfg(not(all(target_arch = "x86_64", not(loom))))]
    {
        let _ = (at, seen, new);
        unreachable!("has_pairs says so")
    }
}

/// Asks for the line of an address, to be written soon. Only a hint: any address will do.
#[inline(always)]
pub(crate) fn fetch_to_write(at: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(loom)))]
    // SAFETY: a prefetch faults at no address, and changes nothing.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) at, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(all(target_arch = "x86_64", not(loom))))]
    let _ = at;
}

/// Copies bytes of which one side may change under way: assembly, so the race is the machine's
/// and outside the language.
///
/// # Safety
/// Both ranges are mapped and do not overlap.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
    if !(16..STRING).contains(&len) {
        // SAFETY: the ranges are valid by the contract; the flag registers are as the ABI leaves them
        // (direction clear), and the three registers that change are declared.
        unsafe {
            std::arch::asm!(
                "rep movsb",
                inout("rcx") len => _,
                inout("rdi") to => _,
                inout("rsi") from => _,
                options(nostack, preserves_flags)
            );
        }
        return;
    }
    // SAFETY: the ranges are valid by the contract. Four vectors at a time while there are as many, then one
    // at a time, then the last 16 bytes, of which some may have been copied before: there are at least 16.
    unsafe {
        std::arch::asm!(
            "lea {last}, [{len} - 16]",
            "xor {at:e}, {at:e}",
            "sub {len}, 64",
            "jb 3f",
            "2:",
            "movups {a}, [{from} + {at}]",
            "movups {b}, [{from} + {at} + 16]",
            "movups {c}, [{from} + {at} + 32]",
            "movups {d}, [{from} + {at} + 48]",
            "movups [{to} + {at}], {a}",
            "movups [{to} + {at} + 16], {b}",
            "movups [{to} + {at} + 32], {c}",
            "movups [{to} + {at} + 48], {d}",
            "add {at}, 64",
            "cmp {at}, {len}",
            "jbe 2b",
            "3:",
            "cmp {at}, {last}",
            "jae 4f",
            "movups {a}, [{from} + {at}]",
            "movups [{to} + {at}], {a}",
            "add {at}, 16",
            "jmp 3b",
            "4:",
            "movups {a}, [{from} + {last}]",
            "movups [{to} + {last}], {a}",
            from = in(reg) from,
            to = in(reg) to,
            len = inout(reg) len => _,
            at = out(reg) _,
            last = out(reg) _,
            a = out(xmm_reg) _,
            b = out(xmm_reg) _,
            c = out(xmm_reg) _,
            d = out(xmm_reg) _,
            options(nostack)
        );
    }
}

/// From this length on the processor's own copying is at least as fast.
#[cfg(target_arch = "x86_64")]
const STRING: usize = 4096;

/// The same for this processor, whose vectors need no alignment.
///
/// # Safety
/// Both ranges are mapped and do not overlap.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub(crate) unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
    if len < 16 {
        // SAFETY: the ranges are valid by the contract: byte after byte, from the last to the first.
        unsafe {
            std::arch::asm!(
                "cbz {at}, 3f",
                "2:",
                "sub {at}, {at}, #1",
                "ldrb {a:w}, [{from}, {at}]",
                "strb {a:w}, [{to}, {at}]",
                "cbnz {at}, 2b",
                "3:",
                from = in(reg) from,
                to = in(reg) to,
                at = inout(reg) len => _,
                a = out(reg) _,
                options(nostack, preserves_flags)
            );
        }
        return;
    }
    // SAFETY: the ranges are valid by the contract. Four vectors at a time while there are as many, then one at a
    // time, then the last 16 bytes, of which some may have been copied before: there are at least 16.
    unsafe {
        std::arch::asm!(
            "add {from_last}, {from}, {len}",
            "add {to_last}, {to}, {len}",
            "sub {len}, {len}, #16",
            "2:",
            "subs {rest}, {len}, #64",
            "b.lo 3f",
            "ldp {a:q}, {b:q}, [{from}], #32",
            "ldp {c:q}, {d:q}, [{from}], #32",
            "stp {a:q}, {b:q}, [{to}], #32",
            "stp {c:q}, {d:q}, [{to}], #32",
            "mov {len}, {rest}",
            "b 2b",
            "3:",
            "cmp {len}, #0",
            "b.le 4f",
            "ldr {a:q}, [{from}], #16",
            "str {a:q}, [{to}], #16",
            "sub {len}, {len}, #16",
            "b 3b",
            "4:",
            "ldr {a:q}, [{from_last}, #-16]",
            "str {a:q}, [{to_last}, #-16]",
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            len = inout(reg) len => _,
            from_last = out(reg) _,
            to_last = out(reg) _,
            rest = out(reg) _,
            a = out(vreg) _,
            b = out(vreg) _,
            c = out(vreg) _,
            d = out(vreg) _,
            options(nostack)
        );
    }
}

/// The same without assembly: volatile bytes, and volatile words where both sides are aligned.
///
/// # Safety
/// Both ranges are mapped and do not overlap.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
    let mut done = 0;
    if (to.addr() | from.addr()) & 7 == 0 {
        while done + 8 <= len {
            // SAFETY: within the range and aligned, as both starts and `done` are.
            let word = unsafe { from.add(done).cast::<u64>().read_volatile() };
            // SAFETY: as above.
            unsafe { to.add(done).cast::<u64>().write_volatile(word) };
            done += 8;
        }
    }
    while done < len {
        // SAFETY: within the range; a byte needs no alignment.
        let byte = unsafe { from.add(done).read_volatile() };
        // SAFETY: as above.
        unsafe { to.add(done).write_volatile(byte) };
        done += 1;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use crate::plain::copy;

    #[test]
    fn every_length_is_copied_at_every_alignment_and_no_byte_beside_it() {
        let from: Vec<u8> = (0..5000_u32).map(|n| (n % 251) as u8 + 1).collect();
        for len in (0..300).chain([4095, 4096, 4097]) {
            for (ahead, behind) in (0..8).flat_map(|at| [(at, 0), (0, at), (at, 7 - at)]) {
                let mut to = vec![0; len + 16];
                let place = &mut to[behind..behind + len];
                // SAFETY: both slices have as many bytes.
                unsafe { copy(place.as_mut_ptr(), from[ahead..].as_ptr(), len) };
                assert_eq!(to[behind..behind + len], from[ahead..ahead + len]);
                assert!(to[..behind].iter().chain(&to[behind + len..]).all(|byte| *byte == 0));
            }
        }
    }
}
