//! The `weir` binary.

fn main() -> std::process::ExitCode {
    router::cli::run()
}
