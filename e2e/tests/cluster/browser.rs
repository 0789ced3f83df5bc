//! A shopper with a browser, on a shop of the cluster.

use e2e::cluster::{Share, Shop, in_namespace};
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test"]
async fn chromium_buys_on_a_phone_and_a_desktop_by_keyboard_and_without_javascript() {
    in_namespace(Share::Together, "browser", async |namespace| {
        let shop = Shop::ready(&namespace, "corner", &namespace.small_shop()).await;
        let tests = Command::new("node")
            .args(["--test", "--test-reporter=spec", "buying.test.cjs"])
            .current_dir("browser")
            .env("SHOP_URL", shop.url().await)
            .kill_on_drop(true)
            .status()
            .await
            .expect("node runs");
        assert!(tests.success(), "see above");
    })
    .await;
}
