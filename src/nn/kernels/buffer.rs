//! Memory: reading candle's tensors as slices, results that are written
//! without being cleared first, and scratch space that threads keep.

use candle_core::{CpuStorage, Device, Layout, Result, Shape, Storage, Tensor, bail};
use std::cell::RefCell;
use std::mem::MaybeUninit;

/// The values of a contiguous `f32` tensor on the CPU.
pub(super) fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let CpuStorage::F32(data) = storage else {
        bail!("f32 values expected");
    };
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&data[start..end]),
        None => bail!("contiguous values expected"),
    }
}

/// Calls `f` with the values of CPU tensors in row-major order.
///
/// # Errors
/// If a tensor is not `f32` or not on the CPU.
pub(in crate::nn) fn read<const N: usize, R>(
    tensors: [&Tensor; N],
    f: impl FnOnce([&[f32]; N]) -> R,
) -> Result<R> {
    let mut contiguous = Vec::with_capacity(N);
    for tensor in tensors {
        contiguous.push(tensor.contiguous()?);
    }
    let guards: Vec<_> = contiguous.iter().map(Tensor::storage_and_layout).collect();
    let mut slices: [&[f32]; N] = [&[]; N];
    for (slice, (storage, layout)) in slices.iter_mut().zip(&guards) {
        let Storage::Cpu(storage) = &**storage else {
            bail!("a tensor on the CPU expected");
        };
        *slice = values(storage, layout)?;
    }
    Ok(f(slices))
}

/// What a custom operation's forward pass returns.
pub(super) fn output(data: Vec<f32>, shape: impl Into<Shape>) -> Result<(CpuStorage, Shape)> {
    Ok((CpuStorage::F32(data), shape.into()))
}

/// A CPU tensor shaped like `like`.
pub(super) fn tensor_like(data: Vec<f32>, like: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(data, like.shape(), &Device::Cpu)
}

/// A vector of `len` values written by `fill`.
///
/// Clearing memory that is overwritten at once costs as much as the cheaper
/// operations themselves.
///
/// # Safety
/// `fill` must write every element.
pub(super) unsafe fn filled(len: usize, fill: impl FnOnce(&mut [MaybeUninit<f32>])) -> Vec<f32> {
    let mut data = Vec::with_capacity(len);
    fill(&mut data.spare_capacity_mut()[..len]);
    // SAFETY: the capacity is at least `len`, and the caller promises that
    // `fill` has written these elements.
    unsafe { data.set_len(len) };
    data
}

/// A destination that several threads write, each its own part.
#[derive(Clone, Copy)]
pub(super) struct Shared<T = f32> {
    start: *mut T,
    len: usize,
}

// SAFETY: a plain address; every write through it is an unsafe call whose
// caller sees to it that no two threads write the same element.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T: Copy> Shared<T> {
    pub(super) fn new(data: &mut [MaybeUninit<T>]) -> Self {
        Self {
            start: data.as_mut_ptr().cast(),
            len: data.len(),
        }
    }

    /// The same, over memory that has been written before.
    pub(super) fn over(data: &mut [T]) -> Self {
        Self {
            start: data.as_mut_ptr(),
            len: data.len(),
        }
    }

    /// The address of element `index`, from which `reach` elements may be used.
    ///
    /// # Safety
    /// The destination must still be borrowed by whoever made this, and no
    /// other thread may use an element that this one writes.
    pub(super) unsafe fn at(self, index: usize, reach: usize) -> *mut T {
        assert!(index <= self.len && reach <= self.len - index);
        // SAFETY: `index` lies within the destination, or one past its end.
        unsafe { self.start.add(index) }
    }

    /// Elements `index .. index + len` for this thread alone.
    ///
    /// # Safety
    /// As for [`Shared::at`].
    pub(super) unsafe fn slice<'a>(self, index: usize, len: usize) -> &'a mut [MaybeUninit<T>] {
        // SAFETY: within the destination (asserted by `at`), and not used by
        // anybody else, as the caller promises.
        unsafe { std::slice::from_raw_parts_mut(self.at(index, len).cast(), len) }
    }
}

thread_local! {
    static SCRATCH: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Scratch space of at least `len` values, kept between calls by each thread;
/// it holds whatever was left there. Calls may nest: an inner one gets
/// space of its own, which is kept, too.
pub(super) fn with_scratch<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut space = SCRATCH.with_borrow_mut(Vec::pop).unwrap_or_default();
    if space.len() < len {
        // Nothing of the old values is needed: no copy.
        space.clear();
        space.resize(len, 0.0);
    }
    let result = f(&mut space[..len]);
    SCRATCH.with_borrow_mut(|kept| kept.push(space));
    result
}
