//! One loop, compiled for several instruction sets, picked at run time.

/// The widest instruction set that this machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg(target_arch = "x86_64")]
pub(super) enum Level {
    /// AVX-512 (F, VL, BW, DQ).
    Avx512,
    /// AVX2 with fused multiply-add.
    Avx2,
    /// What every x86-64 machine has.
    Baseline,
}

#[cfg(target_arch = "x86_64")]
pub(super) fn level() -> Level {
    // The answers are cached by the standard library.
    if is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
    {
        Level::Avx512
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        Level::Avx2
    } else {
        Level::Baseline
    }
}

/// Defines a function whose body is compiled three times, for AVX-512, AVX2
/// and the baseline. The arithmetic, and so the result, is the same in all
/// three: Rust does not fuse or reorder floating-point operations by itself.
macro_rules! vectorised {
    (
        $(#[$meta:meta])*
        fn $name:ident($($arg:ident: $kind:ty),* $(,)?) $(-> $result:ty)? $body:block
    ) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        fn $name($($arg: $kind),*) $(-> $result)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn portable($($arg: $kind),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn avx512($($arg: $kind),*) $(-> $result)? {
                    portable($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn avx2($($arg: $kind),*) $(-> $result)? {
                    portable($($arg),*)
                }
                match $crate::nn::kernels::simd::level() {
                    // SAFETY: the machine has these instructions.
                    $crate::nn::kernels::simd::Level::Avx512 => unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    $crate::nn::kernels::simd::Level::Avx2 => unsafe { avx2($($arg),*) },
                    $crate::nn::kernels::simd::Level::Baseline => portable($($arg),*),
                }
            }
            #[cfg(not(target_arch = "x86_64"))]
            portable($($arg),*)
        }
    };
}

pub(super) use vectorised;
