//! The shop's one binary. Everything is in the library.

use std::process::ExitCode;

/// Faster than the system's allocator under many threads, above all in a static binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    shop::cli::main()
}
