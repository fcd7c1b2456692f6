//! Parse, call, print, exit code.

#[allow(clippy::print_stdout, clippy::print_stderr)] // speaks to people
mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
