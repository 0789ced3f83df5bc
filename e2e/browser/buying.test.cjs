// Buying something in a browser: on a phone, on a desktop, by keyboard alone, without JavaScript.
// Run by `node --test` with SHOP_URL set; UPDATE_SCREENSHOTS=1 also renews the pictures in docs/.
"use strict";

const assert = require("node:assert/strict");
const { after, before, test } = require("node:test");
const { assertFits, confirmedOrder, keepPicture, launch, withShopper } = require("./shopper.cjs");

const PHONE = { viewport: { width: 375, height: 667 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
const DESKTOP = { viewport: { width: 1280, height: 800 } };

let browser;
before(async () => {
  browser = await launch();
});
after(async () => {
  await browser.close();
});

// Searches for the first word of what is listed first, opens what is found, and buys three of it.
async function buy(page, look) {
  await page.goto("/");
  await look("list");
  const words = (await page.locator(".card h2").first().innerText()).split(" ");
  await page.getByRole("searchbox").fill(words[0]);
  await page.getByRole("button", { name: "Search", exact: true }).click();
  await page.waitForURL(/\/search\?/);
  await look("search");
  const found = page.locator(".card h2 a").first();
  const name = await found.innerText();
  await found.click();
  await page.waitForURL(/\/products\//);
  assert.equal(await page.getByRole("heading", { level: 1 }).innerText(), name);
  await look("product");
  await page.getByLabel("Quantity", { exact: true }).fill("2");
  await page.getByRole("button", { name: "Add to order" }).click();
  await page.waitForURL(/\/order$/);
  const quantity = page.locator(".line input[name=quantity]");
  assert.equal(await quantity.inputValue(), "2");
  await quantity.fill("3");
  await page.getByRole("button", { name: /^Update/ }).click();
  await page.waitForURL(/\/order$/);
  assert.equal(await quantity.inputValue(), "3");
  await look("order");
  await page.getByRole("button", { name: "Place the order" }).click();
  await page.waitForURL(/\/orders\//);
  const order = await confirmedOrder(page);
  assert.deepEqual(
    order.items.map((line) => [line.name, line.quantity]),
    [[name, 3]],
  );
  await page.reload();
  await page.getByText(order.id).waitFor();
  await look("submitted");
}

for (const [name, window] of [
  ["phone", PHONE],
  ["desktop", DESKTOP],
]) {
  test(`something is bought in a window of ${window.viewport.width} px`, async () => {
    await withShopper(browser, window, (page) =>
      buy(page, async (what) => {
        await assertFits(page);
        await keepPicture(page, `${what}-${name}`);
      }),
    );
  });
}

test("something is bought without JavaScript", async () => {
  await withShopper(browser, { ...DESKTOP, javaScriptEnabled: false }, (page) => buy(page, async () => {}));
});

// Goes on with the Tab key until what has the focus fits, and checks that one sees where the focus is.
async function tabTo(page, what, fits) {
  for (let steps = 0; steps < 150; steps += 1) {
    await page.keyboard.press("Tab");
    const focus = await page.evaluate(() => {
      const element = document.activeElement;
      const style = getComputedStyle(element);
      return {
        name: element.name ?? "",
        text: (element.innerText ?? "").trim(),
        href: element.getAttribute("href") ?? "",
        seen: (style.outlineStyle !== "none" && style.outlineWidth !== "0px") || style.boxShadow !== "none",
      };
    });
    if (fits(focus)) {
      assert.ok(focus.seen, `${what} shows that it has the focus`);
      return focus;
    }
  }
  assert.fail(`the Tab key does not lead to ${what}`);
}

test("something is bought by keyboard alone", async () => {
  await withShopper(browser, DESKTOP, async (page) => {
    await page.goto("/");
    await tabTo(page, "the link over the head of the page", (focus) => focus.href === "#content");
    await tabTo(page, "the search", (focus) => focus.name === "q");
    const words = (await page.locator(".card h2").first().innerText()).split(" ");
    await page.keyboard.type(words[0]);
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/search\?/);
    const product = await tabTo(page, "a product", (focus) => focus.href.startsWith("/products/"));
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/products\//);
    await tabTo(page, "the quantity", (focus) => focus.name === "quantity");
    await page.keyboard.press("ControlOrMeta+a");
    await page.keyboard.type("4");
    await tabTo(page, "the button that adds", (focus) => focus.text === "Add to order");
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/order$/);
    await tabTo(page, "the button that buys", (focus) => focus.text === "Place the order");
    await page.keyboard.press("Space");
    await page.waitForURL(/\/orders\//);
    const order = await confirmedOrder(page);
    assert.deepEqual(
      order.items.map((line) => [line.name, line.quantity]),
      [[product.text, 4]],
    );
  });
});
