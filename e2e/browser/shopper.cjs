// A shopper with the system's Chromium: opens pages, and notes everything that a clean page never does.
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { chromium } = require("playwright-core");

const BASE = process.env.SHOP_URL;
if (!BASE) throw new Error("SHOP_URL is not set; give the address of a shop, such as http://127.0.0.1:8080");
const SCREENSHOTS = path.join(__dirname, "../../docs/screenshots");
const LIMIT = 20_000;

const launch = () =>
  chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ["--no-sandbox"] });

// Lets a shopper buy in a window of this size, and checks afterwards that no page complained.
async function withShopper(browser, options, buy) {
  const context = await browser.newContext({ baseURL: BASE, ...options });
  const complaints = [];
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(LIMIT);
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) complaints.push(`console: ${message.text()}`);
    });
    page.on("pageerror", (error) => complaints.push(`script: ${error.message}`));
    page.on("requestfailed", (request) => {
      const { errorText } = request.failure();
      // What the browser itself gives up because the shopper moved on, such as the icon of the page before, is no fault.
      if (errorText !== "net::ERR_ABORTED") complaints.push(`${request.url()}: ${errorText}`);
    });
    page.on("response", (response) => {
      if (response.status() >= 400) complaints.push(`${response.url()}: ${response.status()}`);
    });
    await buy(page);
    assert.deepEqual(complaints, []);
  } finally {
    await context.close();
  }
}

// Keeps a picture of the page in docs/, only when that is asked for.
async function keepPicture(page, name) {
  if (process.env.UPDATE_SCREENSHOTS !== "1") return;
  fs.mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: path.join(SCREENSHOTS, `${name}.png`), fullPage: false });
}

// Nothing sticks out to the side, so nobody has to scroll sideways.
async function assertFits(page) {
  const [needed, there] = await page.evaluate(() => [
    document.documentElement.scrollWidth,
    document.documentElement.clientWidth,
  ]);
  assert.ok(needed <= there, `${page.url()} is ${needed} px wide in a window of ${there} px`);
}

// Waits until the order of the page that is shown is confirmed, and gives it as the API answers it.
async function confirmedOrder(page) {
  const id = new URL(page.url()).pathname.match(/^\/orders\/([0-9a-f-]+)$/)?.[1];
  assert.ok(id, `${page.url()} is the page of an order`);
  const end = Date.now() + LIMIT;
  for (;;) {
    const answer = await page.request.get(`/api/v1/orders/${id}`);
    const order = await answer.json();
    if (order.status === "confirmed") return order;
    assert.ok(Date.now() < end, `the order is not confirmed in time: ${JSON.stringify(order)}`);
    await new Promise((wake) => setTimeout(wake, 100));
  }
}

module.exports = { launch, withShopper, keepPicture, assertFits, confirmedOrder };
