//! Convolution by cuDNN, forward and both gradients.
//!
//! candle 0.11.1's own convolution takes cuDNN for the forward pass alone; its
//! gradient by the weights then falls to a slow kernel, and with strides it is
//! wrong where height and width differ.

use crate::nn::kernels::im2col::Geometry;
use crate::nn::precision::Precision;
use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::cudnn::{result::CudnnError, safe as dnn, sys};
use candle_core::cuda_backend::cudarc::driver::{DeviceRepr, ValidAsZeroBits};
use candle_core::cuda_backend::{CudaDType, CudaDevice, CudaStorage};
use candle_core::{
    CpuStorage, CustomOp2, DType, Error, Layout, Result, Shape, Tensor, WithDType, bail,
};
use std::cell::RefCell;
use std::sync::Arc;

thread_local! {
    /// A handle for each device that this thread has used.
    static HANDLES: RefCell<Vec<(usize, Arc<dnn::Cudnn>)>> = const { RefCell::new(Vec::new()) };
}

fn wrapped(error: CudnnError) -> Error {
    Error::wrap(error)
}

fn handle(device: &CudaDevice) -> Result<Arc<dnn::Cudnn>> {
    use candle_core::backend::BackendDevice;
    let candle_core::DeviceLocation::Cuda { gpu_id } = device.location() else {
        bail!("a CUDA device expected");
    };
    HANDLES.with_borrow_mut(|handles| {
        if let Some((_, handle)) = handles.iter().find(|(id, _)| *id == gpu_id) {
            return Ok(handle.clone());
        }
        let handle = dnn::Cudnn::new(device.cuda_stream()).map_err(wrapped)?;
        handles.push((gpu_id, handle.clone()));
        Ok(handle)
    })
}

/// Which of the three is computed of the other two.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    /// `y` of `(x, w)`.
    Output,
    /// `dx` of `(w, dy)`.
    InputGradient,
    /// `dw` of `(x, dy)`.
    WeightGradient,
}

struct Pass {
    wanted: Wanted,
    geometry: Geometry,
    precision: Precision,
}

impl Pass {
    fn run<T>(
        &self,
        (a, a_layout): (&CudaStorage, &Layout),
        (b, b_layout): (&CudaStorage, &Layout),
    ) -> Result<(CudaStorage, Shape)>
    where
        T: CudaDType + WithDType + DeviceRepr + ValidAsZeroBits + dnn::CudnnDataType,
    {
        let g = &self.geometry;
        let x_shape = [g.batch, g.channels, g.height, g.width];
        let y_shape = [g.batch, g.filters, g.out_height(), g.out_width()];
        let w_shape = [g.filters, g.channels, g.kernel, g.kernel];
        let (a_shape, b_shape, shape) = match self.wanted {
            Wanted::Output => (x_shape, w_shape, y_shape),
            Wanted::InputGradient => (w_shape, y_shape, x_shape),
            Wanted::WeightGradient => (x_shape, y_shape, w_shape),
        };
        for (layout, shape) in [(a_layout, a_shape), (b_layout, b_shape)] {
            if !layout.is_contiguous() || layout.dims() != shape {
                bail!("cuDNN convolution: contiguous {shape:?} expected, {layout:?} found");
            }
        }
        let device = a.device().clone();
        let cudnn = handle(&device)?;
        let sizes = |shape: [usize; 4]| shape.map(|side| side as i32);
        let (padding, stride) = (g.padding as i32, g.stride as i32);
        let mut conv = cudnn
            .create_conv2d::<f32>(
                [padding, padding],
                [stride, stride],
                [1, 1],
                sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION,
            )
            .map_err(wrapped)?;
        conv.set_math_type(match self.precision {
            // Without this, tensor cores round `f32` to TF32.
            Precision::Float32 => sys::cudnnMathType_t::CUDNN_FMA_MATH,
            Precision::Tf32 => sys::cudnnMathType_t::CUDNN_DEFAULT_MATH,
            Precision::Bfloat16 => sys::cudnnMathType_t::CUDNN_TENSOR_OP_MATH,
        })
        .map_err(wrapped)?;
        let format = sys::cudnnTensorFormat_t::CUDNN_TENSOR_NCHW;
        let x = cudnn.create_4d_tensor::<T>(format, sizes(x_shape));
        let y = cudnn.create_4d_tensor::<T>(format, sizes(y_shape));
        let w = cudnn.create_4d_filter::<T>(format, sizes(w_shape));
        let (x, y, w) = (
            x.map_err(wrapped)?,
            y.map_err(wrapped)?,
            w.map_err(wrapped)?,
        );
        let a = a.as_cuda_slice::<T>()?.slice(a_layout.start_offset()..);
        let b = b.as_cuda_slice::<T>()?.slice(b_layout.start_offset()..);
        // SAFETY: cuDNN writes every value, as nothing is accumulated.
        let mut result = unsafe { device.alloc::<T>(shape.iter().product())? };
        let scales = (T::one(), T::zero());
        macro_rules! launch {
            ($operation:expr, $first:expr, $second:expr, $third:expr) => {{
                let operation = $operation;
                let algorithm = operation.pick_algorithm().map_err(wrapped)?;
                let size = operation.get_workspace_size(algorithm).map_err(wrapped)?;
                // SAFETY: scratch space, of the size that cuDNN asks for; the
                // descriptors have the shapes that were checked above.
                unsafe {
                    let mut space = device.alloc::<u8>(size.max(1))?;
                    operation
                        .launch(algorithm, Some(&mut space), scales, $first, $second, $third)
                        .map_err(wrapped)?;
                }
            }};
        }
        let conv = &conv;
        match self.wanted {
            Wanted::Output => {
                let (x, w, y) = (&x, &w, &y);
                launch!(dnn::ConvForward { conv, x, w, y }, &a, &b, &mut result);
            }
            Wanted::InputGradient => {
                let (dx, w, dy) = (&x, &w, &y);
                launch!(
                    dnn::ConvBackwardData { conv, dx, w, dy },
                    &mut result,
                    &a,
                    &b
                );
            }
            Wanted::WeightGradient => {
                let (x, dw, dy) = (&x, &w, &y);
                launch!(
                    dnn::ConvBackwardFilter { conv, x, dw, dy },
                    &a,
                    &mut result,
                    &b
                );
            }
        }
        let storage = CudaStorage::wrap_cuda_slice(result, device);
        Ok((storage, Shape::from(&shape[..])))
    }
}

impl CustomOp2 for Pass {
    fn name(&self) -> &'static str {
        "conv2d by cuDNN"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        bail!("cuDNN runs on GPUs alone")
    }

    fn cuda_fwd(
        &self,
        a: &CudaStorage,
        a_layout: &Layout,
        b: &CudaStorage,
        b_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (a, b) = ((a, a_layout), (b, b_layout));
        match a.0.dtype() {
            DType::F32 => self.run::<f32>(a, b),
            DType::BF16 => self.run::<half::bf16>(a, b),
            other => bail!("cuDNN convolution of {other:?}"),
        }
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let pass = |wanted| Self { wanted, ..*self };
        let dy = dy.contiguous()?;
        let dx = x
            .track_op()
            .then(|| w.apply_op2_no_bwd(&dy, &pass(Wanted::InputGradient)));
        let dw = w
            .track_op()
            .then(|| x.apply_op2_no_bwd(&dy, &pass(Wanted::WeightGradient)));
        Ok((dx.transpose()?, dw.transpose()?))
    }
}

/// As [`crate::nn::ops::conv2d`], whose shapes have been checked; without bias.
pub(in crate::nn) fn conv2d(x: &Tensor, w: &Tensor, geometry: Geometry) -> Result<Tensor> {
    let precision = Precision::chosen();
    let pass = Pass {
        wanted: Wanted::Output,
        geometry,
        precision,
    };
    let (x, w) = (x.contiguous()?, w.contiguous()?);
    if precision == Precision::Bfloat16 {
        let narrow = |t: &Tensor| t.to_dtype(DType::BF16);
        return narrow(&x)?
            .apply_op2(&narrow(&w)?, pass)?
            .to_dtype(DType::F32);
    }
    x.apply_op2(&w, pass)
}
