//! Orders leave a shop and come into another one, on another provider.

use e2e::cluster::{Share, Shop, TestNamespace, embedded, in_namespace, kubectl_with_input};
use load::run::new_key;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test"]
async fn orders_that_one_shop_exports_are_imported_by_another_and_come_out_the_same() {
    in_namespace(Share::Together, "orders", async |namespace| {
        let (from, to) = (embedded(), namespace.small_shop());
        let (from, to) = tokio::join!(Shop::ready(&namespace, "market", &from), Shop::ready(&namespace, "corner", &to));
        let api = from.api().await;
        let sku = api.products(1).await[0]["sku"].as_str().expect("a SKU").to_owned();
        let mut orders = Vec::new();
        for quantity in 1..=20 {
            let order = api.create(&new_key()).await;
            api.add(&order, &sku, quantity).await;
            orders.push(order);
        }
        api.submit(&orders[0]).await;
        api.confirmed(&orders[0]).await;

        let exported = shop(&namespace, &from, &["export"], "").await;
        assert_eq!(exported.lines().count(), 20);
        let said = shop(&namespace, &to, &["import", "-"], &exported).await;
        assert!(said.contains("20 orders imported, 0 were there already"), "{said}");
        let said = shop(&namespace, &to, &["import", "-"], &exported).await;
        assert!(said.contains("0 orders imported, 20 were there already"), "{said}");
        assert_eq!(sorted(&shop(&namespace, &to, &["export"], "").await), sorted(&exported));

        let api = to.api().await;
        assert_eq!(api.order(&orders[0]).await["status"], "confirmed");
        let more = api.add(&orders[1], &sku, 1).await;
        assert_eq!(more["items"][0]["quantity"], 3, "an imported order goes on: {more}");
    })
    .await;
}

/// Runs a verb of the program in a worker of a shop, and gives what it printed.
async fn shop(namespace: &TestNamespace, shop: &Shop, verb: &[&str], input: &str) -> String {
    let worker = format!("deploy/{}-worker", shop.name);
    let exec = ["exec", "--stdin", "--namespace", &namespace.name, &worker, "--", "/shop"];
    kubectl_with_input(&[&exec[..], verb].concat(), input).await.unwrap_or_else(|message| panic!("{verb:?}: {message}"))
}

fn sorted(lines: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = lines.lines().collect();
    lines.sort_unstable();
    lines
}
