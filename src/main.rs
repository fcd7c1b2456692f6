//! Parse, call, print, exit code.

#[allow(clippy::print_stdout, clippy::print_stderr)] // speaks to people
mod cli;

/// Training makes and frees large tensors at every step: the system's allocator
/// hands their memory back to the kernel each time, which doubles the time of a
/// convolution's backward pass.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    goma::nn::keep_candle_on_one_thread();
    cli::main()
}
