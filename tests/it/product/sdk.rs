//! The official OpenAI and Anthropic packages for Python and Node drive the built binary, as customers do.
//!
//! The clients are in `tests/sdk`: a table of cases each, of which they judge what the SDK sees. What each case cost is judged here, to the micro-credit, and
//! that what time cannot heal was asked once. `scripts/test` installs the packages into `target/sdk`.

mod bench;
mod cases;

use std::path::{Path, PathBuf};

use crate::rig::process::find_program;
use bench::Bench;
use cases::{ANTHROPIC, OPENAI};

#[tokio::test]
async fn the_openai_package_for_python_sees_what_was_promised() {
    Bench::open(&python("openai_client.py")).await.judge(OPENAI).await;
}

#[tokio::test]
async fn the_openai_package_for_node_sees_what_was_promised() {
    Bench::open(&node("openai_client.mjs")).await.judge(OPENAI).await;
}

#[tokio::test]
async fn the_anthropic_package_for_python_sees_what_was_promised() {
    Bench::open(&python("anthropic_client.py"))
        .await
        .judge(ANTHROPIC)
        .await;
}

#[tokio::test]
async fn the_anthropic_package_for_node_sees_what_was_promised() {
    Bench::open(&node("anthropic_client.mjs"))
        .await
        .judge(ANTHROPIC)
        .await;
}

/// A command line.
pub(crate) type Words = Vec<PathBuf>;

/// Runs a client in the virtual environment that has the packages. Nothing is written beside it.
pub(crate) fn python(client: &str) -> Words {
    let python = installed("requirements.txt").join("python/bin/python");
    vec![python, "-B".into(), clients().join(client)]
}

/// Runs a client where Node finds the packages: beside the folder that leads to the client.
fn node(client: &str) -> Words {
    let client = installed("package-lock.json").join("clients").join(client);
    let flags = ["--preserve-symlinks", "--preserve-symlinks-main"];
    let node = find_program("node", "nodejs");
    [node]
        .into_iter()
        .chain(flags.map(PathBuf::from))
        .chain([client])
        .collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The clients' folder.
fn clients() -> PathBuf {
    root().join("tests/sdk")
}

/// Where the packages are, which must be those that are listed: the list is put beside them when they are all there.
fn installed(list: &str) -> PathBuf {
    let folder = root().join("target/sdk");
    let read = |path: PathBuf| std::fs::read(path).ok();
    let (wanted, there) = (
        read(clients().join(list)),
        read(folder.join("installed").join(list)),
    );
    assert!(
        wanted.is_some() && wanted == there,
        "the packages of tests/sdk/{list} are not in target/sdk: run scripts/test once, which installs them"
    );
    folder
}
