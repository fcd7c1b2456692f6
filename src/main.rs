//! Parse, call, print, exit code.

#[allow(clippy::print_stdout, clippy::print_stderr)] // speaks to people
mod cli;

/// Training makes and frees large tensors at every step: the system's allocator
/// hands their memory back to the kernel each time, which doubles the time of a
/// convolution's backward pass.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Has the allocator keep freed memory for five seconds, not one, before it is
/// given back: clearing what the system hands out anew took a tenth of a
/// training step, and more where other programs do the same. With ten seconds
/// large trainings would need a sixth more memory.
#[cfg(feature = "mimalloc")]
#[allow(unsafe_code)] // the allocator has no safe interface for it
fn keep_freed_memory() {
    use libmimalloc_sys::{mi_option_get, mi_option_set, mi_option_t};
    /// `mi_option_purge_delay` of mimalloc.h, in milliseconds.
    const PURGE_DELAY: mi_option_t = 15;
    const ITS_DEFAULT: std::ffi::c_long = 1_000;
    // SAFETY: numbers are read and written, of an option that this version has.
    unsafe {
        // Another value is the user's choice (`MIMALLOC_PURGE_DELAY`), or that
        // of another option.
        if mi_option_get(PURGE_DELAY) == ITS_DEFAULT {
            mi_option_set(PURGE_DELAY, 5 * ITS_DEFAULT);
        }
    }
}

fn main() -> std::process::ExitCode {
    #[cfg(feature = "mimalloc")]
    keep_freed_memory();
    goma::nn::keep_candle_on_one_thread();
    cli::main()
}
