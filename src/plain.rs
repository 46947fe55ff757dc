//! Which values may live in shared memory, and how bytes cross the border.
//!
//! Another process can change a shared byte at any moment, so no Rust reference is ever made to
//! one. Values cross in copies: word by word through relaxed atomics while they are small, and by
//! one string instruction, of which the compiler knows nothing, when they are large. What was
//! copied is private and cannot change any more.
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

/// Values up to this size are copied word by word, longer ones by a string instruction.
/// Measured: the word loop wins to 256 bytes and loses 2.4x at 1 KiB.
#[cfg(not(loom))]
const WORDWISE: usize = 256;

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

/// Copies a value out of the words at `from`.
///
/// # Safety
/// As for [`store`], but the words need only be readable.
#[inline(always)]
pub(crate) unsafe fn load<T: Plain>(from: NonNull<AtomicU64>) -> T {
    let mut value = MaybeUninit::<T>::zeroed();
    let size = size_of::<T>();
    // SAFETY: `value` is `size` bytes, zeroed and so initialised, and nobody else has it.
    let to = unsafe { std::slice::from_raw_parts_mut(value.as_mut_ptr().cast::<u8>(), size) };
    if size > WORDWISE {
        // SAFETY: the caller vouches for the words that hold `size` bytes.
        unsafe { copy(to.as_mut_ptr(), from.as_ptr().cast(), size) };
    } else {
        // Whole words apart from the rest: a copy of a length that varies is a call for each word.
        let mut words = to.chunks_exact_mut(8);
        let mut index = 0;
        for chunk in words.by_ref() {
            // SAFETY: word `index` lies within the words that the caller vouches for.
            let word = unsafe { word_at(from, index) }.load(Relaxed);
            chunk.copy_from_slice(&word.to_ne_bytes());
            index += 1;
        }
        let rest = words.into_remainder();
        if !rest.is_empty() {
            // SAFETY: a value that ends within a word has that whole word, by the contract.
            let word = unsafe { word_at(from, index) }.load(Relaxed);
            rest.copy_from_slice(&word.to_ne_bytes()[..rest.len()]);
        }
    }
    // SAFETY: all bytes were written and `T: AnyBitPattern` takes any of them.
    unsafe { value.assume_init() }
}

/// Copies bytes of which one side may change under way: assembly, so the race is the machine's
/// and outside the language.
///
/// # Safety
/// Both ranges are mapped and do not overlap.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
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
}

/// The same without assembly: relaxed bytes, and volatile words where both sides are aligned.
///
/// # Safety
/// Both ranges are mapped and do not overlap.
#[cfg(not(target_arch = "x86_64"))]
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
