use clap::Parser as _;

use super::*;
use crate::catalogue::store::tests::{only, store};

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    import: ImportArgs,
}

fn arguments(words: &[&str]) -> ImportArgs {
    Line::try_parse_from(["import"].iter().chain(words)).expect("arguments").import
}

const GOOD: &[u8] = b"code,title,cost,kind\nA-1,Mug,4.50,Kitchen\na-1,Cup,5,Kitchen\n";

const COLUMNS: [&str; 9] = ["-", "--sku", "code", "--name", "title", "--price", "cost", "--category", "kind"];

#[tokio::test]
async fn products_from_a_pipe_become_a_version() {
    let (_folder, store) = store();
    let arguments = arguments(&[COLUMNS.as_slice(), &["--on-duplicate", "last", "--currency", "CHF"]].concat());
    let summary = import_command(&arguments, &only(&store), GOOD).await.expect("imported");
    assert_eq!(summary.to_string(), "imported 1 product as catalogue version 1, 1 duplicate left out");
    let again = import_command(&arguments, &only(&store), GOOD).await.expect("imported");
    assert_eq!(again.to_string(), "catalogue version 1 has the same 1 product, 1 duplicate left out");
}

#[tokio::test]
async fn a_refused_input_changes_nothing_and_ends_with_two() {
    let (_folder, store) = store();
    let error = import_command(&arguments(&COLUMNS), &only(&store), GOOD).await.expect_err("refused");
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("line 3: code: 'a-1' is on line 2 already"), "{error}");
    assert!(crate::catalogue::store::current(&*store).await.expect("a store").is_none());
}

#[tokio::test]
async fn a_dry_run_stores_nothing() {
    let (_folder, store) = store();
    let arguments = arguments(&[COLUMNS.as_slice(), &["--on-duplicate", "first", "--dry-run"]].concat());
    let summary = import_command(&arguments, &only(&store), GOOD).await.expect("read");
    assert_eq!(summary.to_string(), "dry run: 1 product would be imported, 1 duplicate left out");
    assert!(crate::catalogue::store::current(&*store).await.expect("a store").is_none());
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let (folder, store) = store();
    let missing = folder.path().join("missing.csv");
    let arguments = arguments(&[missing.to_str().expect("UTF-8")]);
    let error = import_command(&arguments, &only(&store), tokio::io::empty()).await.expect_err("no file");
    assert_eq!(error.exit_code(), 1);
    assert!(error.to_string().contains("missing.csv"), "{error}");
}

#[tokio::test]
async fn the_sample_command_writes_what_import_reads() {
    let (folder, store) = store();
    let file = folder.path().join("sample.csv");
    let mut text = Vec::new();
    sample_command(SampleArgs { products: 500, seed: 3 }, &mut text).expect("memory");
    std::fs::write(&file, text).expect("a file");
    let summary = import_command(&arguments(&[file.to_str().expect("UTF-8")]), &only(&store), tokio::io::empty()).await;
    assert_eq!(summary.expect("imported").products, 500);
}
