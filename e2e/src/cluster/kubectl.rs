//! The programs that users run: `kubectl` and `helm`. Runs processes.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Runs `kubectl` and gives its output; fails the test when it fails.
pub async fn kubectl(arguments: &[&str]) -> String {
    kubectl_with_input(arguments, "").await.unwrap_or_else(|message| panic!("kubectl {arguments:?}: {message}"))
}

/// Runs `kubectl` with `input`, and gives its output, or what it complained about.
///
/// # Errors
/// What it printed, when it fails.
pub async fn kubectl_with_input(arguments: &[&str], input: &str) -> Result<String, String> {
    run("kubectl", arguments, input).await
}

/// Runs `helm` and gives its output; fails the test when it fails.
pub async fn helm(arguments: &[&str]) -> String {
    run("helm", arguments, "").await.unwrap_or_else(|message| panic!("helm {arguments:?}: {message}"))
}

pub(super) async fn run(program: &str, arguments: &[&str], input: &str) -> Result<String, String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{program} cannot be run ({error}); put it on PATH"));
    let mut stdin = child.stdin.take().expect("it is piped");
    let feed = async {
        // A program that ends without reading all of it says why on its own.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    let output = output.expect("it ended");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(printed);
    }
    Err(format!("{}: {printed}{}", output.status, String::from_utf8_lossy(&output.stderr)))
}
