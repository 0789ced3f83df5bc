//! `shop doctor`: what it says of a store that can be used, and of one that cannot.

use std::process::{Command, Output};

use e2e::cloud_store::{Cloud, CloudStore};
use e2e::pods::write_config;
use e2e::process::{ShopProcess, shop_binary, shop_verb};
use shop_contract::config::OnPartitionConfig;

use crate::folder;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn a_store_with_a_shop_is_described_while_the_shop_runs() {
    let folder = folder();
    let shop = ShopProcess::start(folder.path()).await;
    let data = folder.path().join("data");
    let output = shop_verb(&["doctor", "--data", data.to_str().expect("UTF-8")]);
    shop.end().await;
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    for wanted in ["Embedded: /", "4 of 4 shards have an owner", "version 1, 1000 products", "about 0 messages waiting"]
    {
        assert!(said.contains(wanted), "{wanted} is not in: {said}");
    }
}

#[test]
fn an_empty_store_is_no_shop_and_stays_empty() {
    let folder = folder();
    let data = folder.path().to_str().expect("UTF-8").to_owned();
    for _ in 0..2 {
        let output = shop_verb(&["doctor", "--data", &data]);
        let said = text(&output.stdout);
        assert!(output.status.success(), "{said}{}", text(&output.stderr));
        assert!(said.contains("none yet"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_way_out_is_tried_as_well_and_named_when_it_cannot_be_used() {
    let folder = folder();
    let (home, other) = tokio::join!(CloudStore::make(Cloud::Aws), CloudStore::make(Cloud::Azure));
    let storage = home.config(&home.emulator).beside(other.config(&other.emulator));
    let config = write_config(folder.path(), "shop.toml", storage, OnPartitionConfig::default());
    let doctor = |variables: &[(&str, &str)]| -> Output {
        let mut verb = Command::new(shop_binary());
        verb.arg("doctor").arg("--config").arg(&config).envs(variables.iter().copied());
        verb.output().expect("the program starts")
    };
    let output = doctor(&[home.credentials(), other.credentials()].concat());
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    for wanted in ["store      Aws: bucket", "beside     Azure: container", "about 0 messages waiting"] {
        assert!(said.contains(wanted), "{wanted} is not in: {said}");
    }
    let output = doctor(home.credentials());
    assert_eq!(output.status.code(), Some(1));
    let complaint = text(&output.stderr);
    for wanted in ["the shop sells, but the store beside", "Azure: container", "AZURE_STORAGE_KEY"] {
        assert!(complaint.contains(wanted), "{wanted} is not in: {complaint}");
    }
}

#[test]
fn a_store_that_cannot_be_opened_is_named_with_what_to_do() {
    let folder = folder();
    let missing = folder.path().join("nothing");
    let output = shop_verb(&["doctor", "--data", missing.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("name the one that `shop run --data` uses"), "{}", text(&output.stderr));
}
