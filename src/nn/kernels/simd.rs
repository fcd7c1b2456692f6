//! One loop, compiled for several instruction sets, picked at run time.

/// An instruction set that the kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::nn) enum Level {
    /// AVX-512 (F, VL, BW, DQ).
    Avx512,
    /// AVX2 with fused multiply-add.
    Avx2,
    /// Plain Rust, for what every machine of the target has.
    Baseline,
}

impl Level {
    /// Those that this machine has, the widest first.
    pub(in crate::nn) fn available() -> Vec<Self> {
        let mut levels = vec![Self::Baseline];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            levels.push(Self::Avx2);
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
            {
                levels.push(Self::Avx512);
            }
        }
        levels.reverse();
        levels
    }
}

/// The widest instruction set of this machine, found out once.
///
/// The environment variable `GOMA_SIMD` (`avx2`, `baseline`) keeps to a
/// narrower one: to test the kernels for other machines, or to get here the
/// bytes that another machine got.
pub(in crate::nn) fn level() -> Level {
    static LEVEL: std::sync::OnceLock<Level> = std::sync::OnceLock::new();
    *LEVEL.get_or_init(|| {
        let wanted = match std::env::var("GOMA_SIMD").as_deref() {
            Ok("baseline") => Some(Level::Baseline),
            Ok("avx2") => Some(Level::Avx2),
            _ => None,
        };
        let available = Level::available();
        wanted
            .filter(|level| available.contains(level))
            .unwrap_or(available[0])
    })
}

/// Defines a function whose body is compiled three times, for AVX-512, AVX2
/// and the baseline. The arithmetic, and so the result, is the same in all
/// three: Rust does not fuse or reorder floating-point operations by itself.
macro_rules! vectorised {
    (
        $(#[$meta:meta])*
        fn $name:ident $(<$t:ident: $bound:ident>)? ($($arg:ident: $kind:ty),* $(,)?) $(-> $result:ty)? $body:block
    ) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        fn $name $(<$t: $bound>)? ($($arg: $kind),*) $(-> $result)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn portable $(<$t: $bound>)? ($($arg: $kind),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn avx512 $(<$t: $bound>)? ($($arg: $kind),*) $(-> $result)? {
                    portable($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn avx2 $(<$t: $bound>)? ($($arg: $kind),*) $(-> $result)? {
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
