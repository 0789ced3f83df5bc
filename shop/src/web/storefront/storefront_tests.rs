//! The storefront as a browser without JavaScript meets it: over sockets, with a real worker behind it.

use crate::web::{raw_client::RawAnswer, test_shop::TestShop};

const OWN: &str = "content-type: application/x-www-form-urlencoded\r\nsec-fetch-site: same-origin\r\n";

/// The value of the first field of this name in a page.
fn field(page: &str, name: &str) -> String {
    let (_, after) = page.split_once(&format!("name=\"{name}\"")).unwrap_or_else(|| panic!("no {name} in {page}"));
    let (_, value) = after.split_once("value=\"").expect("a value");
    value.split('"').next().expect("its end").to_owned()
}

fn cookie(answer: &RawAnswer) -> String {
    let cookie = answer.header("set-cookie").expect("a cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && cookie.contains("Path=/"), "{cookie}");
    format!("{OWN}cookie: {}\r\n", cookie.split(';').next().expect("a value"))
}

async fn first_sku(shop: &TestShop) -> String {
    shop.get("/api/v1/products?limit=1").await.json()["items"][0]["sku"].as_str().expect("a SKU").to_owned()
}

#[tokio::test]
async fn something_is_bought_with_plain_forms() {
    let shop = TestShop::start().await;
    let sku = first_sku(&shop).await;
    let product = shop.get(&format!("/products/{sku}")).await.text();
    let add = format!("sku={sku}&key={}&quantity=2", field(&product, "key"));
    let added = shop.ask("POST", "/order/items", OWN, Some(&add)).await;
    assert_eq!((added.status, added.header("location")), (303, Some("/order")), "{}", added.text());
    let visitor = cookie(&added);
    let again = shop.ask("POST", "/order/items", OWN, Some(&add)).await;
    assert_eq!(cookie(&again), visitor, "a form sent twice fills the same order");
    let cart = shop.ask("GET", "/order", &visitor, None).await.text();
    assert_eq!(field(&cart, "quantity"), "2", "and does its work once");

    let set = format!("key={}&quantity=5", field(&cart, "key"));
    let changed = shop.ask("POST", &format!("/order/items/{sku}"), &visitor, Some(&set)).await;
    assert_eq!((changed.status, changed.header("location")), (303, Some("/order")));
    let cart = shop.ask("GET", "/order", &visitor, None).await.text();
    assert_eq!(field(&cart, "quantity"), "5");

    let submit = cart.split("action=\"/order/submit\"").nth(1).expect("the form that buys");
    let submit = format!("key={}", field(submit, "key"));
    let placed = shop.ask("POST", "/order/submit", &visitor, Some(&submit)).await;
    assert_eq!(placed.status, 303);
    let page = placed.header("location").expect("a location").replace("?placed", "");
    assert!(placed.header("set-cookie").is_some_and(|cookie| cookie.contains("Max-Age=0")));
    shop.eventually("the page says that the order is confirmed", async |shop| {
        shop.get(&page).await.text().contains("Your order is confirmed")
    })
    .await;
    let twice = shop.ask("POST", "/order/submit", &visitor, Some(&submit)).await;
    assert_eq!(twice.status, 303, "the button pressed twice is no error");
    assert_eq!(twice.header("location").map(|path| path.replace("?placed", "")), Some(page));
}

#[tokio::test]
async fn a_wrong_quantity_is_explained_where_it_was_written() {
    let shop = TestShop::start().await;
    let sku = first_sku(&shop).await;
    let product = shop.get(&format!("/products/{sku}")).await.text();
    let add = format!("sku={sku}&key={}&quantity=12345", field(&product, "key"));
    let refused = shop.ask("POST", "/order/items", OWN, Some(&add)).await;
    assert_eq!(refused.status, 422);
    let page = refused.text();
    assert!(page.contains("role=\"alert\"") && page.contains("whole number from 1 to 9999"), "{page}");
    assert_eq!(field(&page, "quantity").as_str(), "12345", "what was written is not lost");
}

#[tokio::test]
async fn a_form_of_another_site_does_nothing() {
    let shop = TestShop::start().await;
    let sku = first_sku(&shop).await;
    let product = shop.get(&format!("/products/{sku}")).await.text();
    let add = format!("sku={sku}&key={}&quantity=1", field(&product, "key"));
    for foreign in ["sec-fetch-site: cross-site\r\n", "origin: http://evil.test\r\n"] {
        let refused = shop.ask("POST", "/order/items", foreign, Some(&add)).await;
        assert_eq!(refused.status, 400);
        assert_eq!(refused.header("set-cookie"), None);
    }
}

#[tokio::test]
async fn what_fails_for_now_can_be_sent_again_as_it_was() {
    let shop = TestShop::start_consistent().await;
    let sku = first_sku(&shop).await;
    let product = shop.get(&format!("/products/{sku}")).await.text();
    let key = field(&product, "key");
    shop.lose_the_worker().await;
    let failed = shop.ask("POST", "/order/items", OWN, Some(&format!("sku={sku}&key={key}&quantity=3"))).await;
    assert_eq!(failed.status, 503);
    assert!(failed.header("retry-after").is_some());
    let page = failed.text();
    assert_eq!((field(&page, "key"), field(&page, "quantity"), field(&page, "sku")), (key, "3".into(), sku));
    assert!(page.contains("Try again"));
}

#[tokio::test]
async fn while_orders_are_out_of_reach_a_cart_goes_on_and_says_in_words_what_it_shows() {
    let shop = TestShop::start().await;
    let sku = first_sku(&shop).await;
    shop.lose_the_worker().await;
    let product = shop.get(&format!("/products/{sku}")).await.text();
    let form = format!("sku={sku}&key={}&quantity=3", field(&product, "key"));
    let added = shop.ask("POST", "/order/items", OWN, Some(&form)).await;
    assert_eq!((added.status, added.header("location")), (303, Some("/order")));
    let cookies: Vec<&str> =
        added.headers("set-cookie").map(|cookie| cookie.split(';').next().unwrap_or_default()).collect();
    assert!(cookies.iter().any(|cookie| cookie.starts_with("order-pending-")), "{cookies:?}");
    let headers = format!("cookie: {}\r\n", cookies.join("; "));
    let cart = shop.ask("GET", "/order", &headers, None).await;
    assert_eq!(cart.status, 200, "{}", cart.text());
    let page = cart.text();
    assert!(page.contains("Your changes are safely noted") && page.contains(&sku), "{page}");
    assert_eq!(field(&page, "quantity"), "3");
}

#[tokio::test]
async fn pages_let_nothing_foreign_in() {
    let shop = TestShop::start().await;
    for path in ["/", "/search?q=mug", "/order", "/nothing", "/orders/mine"] {
        let answer = shop.get(path).await;
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let page = answer.text();
        for inline in ["<script", " style=", "<style", " onclick", "http://", "https://"] {
            assert!(!page.replace("http://www.w3.org", "").contains(inline), "{inline} in {path}");
        }
    }
}

#[tokio::test]
async fn nothing_that_a_visitor_writes_becomes_markup() {
    let shop = TestShop::start().await;
    for text in
        ["<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "'-alert(1)-'", "</title><svg/onload=1>"]
    {
        let query: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
        for path in ["/search?q=", "/search?category=x&q=", "/?category=", "/products/", "/?sort="] {
            let page = shop.get(&format!("{path}{query}")).await.text();
            assert!(!page.contains(text), "{path}{text}");
            assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("<svg/"), "{path}{text}");
        }
    }
}

#[tokio::test]
async fn files_may_be_kept_for_ever() {
    let shop = TestShop::start().await;
    let page = shop.get("/").await.text();
    let path =
        page.split("rel=\"stylesheet\" href=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a style");
    let style = shop.get(path).await;
    assert_eq!((style.status, style.header("content-type")), (200, Some("text/css; charset=utf-8")));
    assert!(style.header("cache-control").is_some_and(|value| value.contains("immutable")));
    assert_eq!(shop.get("/assets/shop-0000000000000000.css").await.status, 404);
}
