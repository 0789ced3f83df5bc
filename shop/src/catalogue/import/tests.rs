use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::catalogue::{MAX_CATEGORIES, sample};

fn options(format: Format) -> ImportOptions {
    ImportOptions { format, columns: Columns::default(), currency: Currency::EUR, on_duplicate: OnDuplicate::Refuse }
}

fn csv(text: &str) -> Result<Imported, ImportReport> {
    import(text.as_bytes(), &options(Format::Csv), |_| {})
}

fn json(text: &str) -> Result<Imported, ImportReport> {
    import(text.as_bytes(), &options(Format::Json), |_| {})
}

/// The report's lines, without its heading.
fn faults(result: Result<Imported, ImportReport>) -> Vec<String> {
    let report = result.expect_err("faults").to_string();
    report.lines().skip(1).map(str::to_owned).collect()
}

fn skus(imported: &Imported) -> Vec<&str> {
    imported.products.iter().map(|product| product.sku.as_str()).collect()
}

#[test]
fn csv_as_spreadsheets_write_it_is_read() {
    let text = "\u{feff}sku,name,notes,price,category\r\nA-1,\"Mug, \"\"blue\"\"\",\"two\r\nlines\",4.5,Kitchen\r\n\r\nA-2, Lamp ,,12,Lighting\r\n";
    let imported = csv(text).expect("products");
    assert_eq!(skus(&imported), ["A-1", "A-2"]);
    assert_eq!(imported.products[0].name.as_str(), "Mug, \"blue\"");
    assert_eq!(imported.products[0].price.amount, 450);
    assert_eq!(imported.products[1].name.as_str(), "Lamp");
}

#[test]
fn columns_may_have_other_names_and_places() {
    let columns =
        Columns { sku: "Artikel".into(), name: "Bezeichnung".into(), price: "Preis".into(), category: "Gruppe".into() };
    let options = ImportOptions { columns, currency: "JPY".parse().expect("a currency"), ..options(Format::Csv) };
    let imported = import(b"Gruppe,PREIS,Artikel,Bezeichnung\nA,500,x,y\n", &options, |_| {}).expect("products");
    assert_eq!(imported.products[0].price.amount, 500);
    assert_eq!(imported.products[0].price.currency.as_str(), "JPY");
}

#[test]
fn every_fault_is_named_with_its_line() {
    let text = "sku,name,price,category\nA 1,,1.999,\nA-2,Mug,\"1,50\",Kitchen\n\"A-3\",\"two\nlines\",1,Kitchen\nA-4,Mug\nA-2,Mug,1e3,Kitchen\n";
    assert_eq!(
        faults(csv(text)),
        [
            "line 2: sku: 'A 1' is no SKU: write 1 to 64 ASCII letters, digits, '-', '_' or '.'",
            "line 2: name: it is empty",
            "line 2: price: '1.999' has 3 digits after the point; the currency has 2",
            "line 2: category: it is empty",
            "line 3: price: '1,50' has a separator or decimal comma; write it as 1234.50",
            "line 4: name: it holds the control character U+000A; remove it",
            "line 6: the row has 2 fields, the header 4; is a comma or a quote missing or too many?",
            "line 7: price: '1e3' is in scientific notation; write all its digits",
            "line 7: sku: 'A-2' is on line 3 already; mend one, or import with --on-duplicate first or last",
        ]
    );
}

#[test]
fn a_missing_column_is_named_with_those_that_are_there() {
    assert_eq!(
        faults(csv("id,name,cost,category\n")),
        [
            "line 1: sku: there is no such column; the columns are id, name, cost, category; name the right one with --sku",
            "line 1: price: there is no such column; the columns are id, name, cost, category; name the right one with --price",
        ]
    );
    assert!(faults(csv("sku;name;price;category\n"))[0].ends_with("save the file with commas"));
    assert_eq!(
        faults(csv("sku,name,sku,price,category\n")),
        ["line 1: sku: the header names this column 2 times; rename all but one"]
    );
}

#[test]
fn duplicates_are_refused_or_resolved_as_told_whatever_their_case() {
    let text = "sku,name,price,category\na-1,First,1,K\nb,Other,1,K\nA-1,Last,2,K\n";
    assert_eq!(faults(csv(text)).len(), 1);
    for (on_duplicate, name) in [(OnDuplicate::First, "First"), (OnDuplicate::Last, "Last")] {
        let options = ImportOptions { on_duplicate, ..options(Format::Csv) };
        let imported = import(text.as_bytes(), &options, |_| {}).expect("products");
        assert_eq!((imported.products.len(), imported.duplicates), (2, 1));
        assert_eq!(imported.products[0].name.as_str(), name);
    }
}

#[test]
fn json_is_an_array_or_an_object_a_line() {
    let array = "[\n {\"sku\":\"A-1\",\"name\":\"Mug\",\"price\":4.50,\"category\":\"K\"},\n {\"sku\":2,\"name\":\"\\u00c9lan\",\"price\":\"12\",\"category\":\"K\",\"x\":[1,{}]}]";
    let imported = json(array).expect("products");
    assert_eq!(skus(&imported), ["A-1", "2"]);
    assert_eq!(imported.products[0].price.amount, 450);
    assert_eq!(imported.products[1].name.as_str(), "Élan");
    let lines = "\n{\"sku\":\"A-1\",\"name\":\"Mug\",\"price\":4.50,\"category\":\"K\"}\r\n\n{\"sku\":\"A-2\",\"name\":\"Mug\",\"price\":1,\"category\":\"K\"}\n";
    assert_eq!(skus(&json(lines).expect("products")), ["A-1", "A-2"]);
}

#[test]
fn a_json_number_is_read_digit_by_digit() {
    let text = |price: &str| format!("[{{\"sku\":\"A\",\"name\":\"Mug\",\"price\":{price},\"category\":\"K\"}}]");
    assert_eq!(json(&text("1.10")).expect("products").products[0].price.amount, 110);
    assert!(faults(json(&text("1.105")))[0].contains("3 digits"));
    assert!(faults(json(&text("1E2")))[0].contains("scientific"));
    assert!(faults(json(&text("-1")))[0].contains("negative"));
    assert!(faults(json(&text("[1]")))[0].contains("neither text nor a number"));
    assert!(faults(json(&text("null")))[0].contains("missing"));
}

#[test]
fn faults_of_json_have_lines_too() {
    let array = "[\n{\"sku\":\"A-1\",\"name\":\"Mug\",\"price\":1,\"category\":\"K\"},\n7,\n{\n\"sku\":\"A-1\",\"name\":\"\",\"price\":1}\n]";
    assert_eq!(
        faults(json(array)),
        [
            "line 3: a product must be an object, such as {\"sku\": \"A-1\", \"name\": \"Mug\", \"price\": \"4.50\", \"category\": \"Kitchen\"}",
            "line 4: name: it is empty",
            "line 4: category: it is missing",
            "line 4: sku: 'A-1' is on line 2 already; mend one, or import with --on-duplicate first or last",
        ]
    );
    assert!(faults(json("[\n{\"sku\":\n,}]"))[0].starts_with("line 3: the JSON cannot be read: expected value"));
    assert!(faults(json("{\"sku\":\"A\n"))[0].starts_with("line 1: the JSON cannot be read: "));
}

#[test]
fn nothing_is_no_catalogue() {
    for text in ["", "\u{feff}", "sku,name,price,category\n"] {
        assert_eq!(faults(csv(text)), ["there is no product in it"], "{text:?}");
    }
    for text in ["", "[]", "\n\n"] {
        assert_eq!(faults(json(text)), ["there is no product in it"], "{text:?}");
    }
}

#[test]
fn bytes_that_are_no_utf8_are_named_with_their_line() {
    let import = |format, text: &[u8]| faults(import(text, &options(format), |_| {}));
    assert_eq!(
        import(Format::Csv, b"sku,name,price,category\nA-1,Caf\xe9,1,K\n"),
        ["line 2: name: it is not UTF-8; save the file as UTF-8"]
    );
    assert_eq!(import(Format::Json, b"[\n\n\"\xe9\"]"), ["line 3: it is not UTF-8; save the file as UTF-8"]);
}

#[test]
fn a_report_is_bounded_and_counts_the_rest() {
    let mut text = "sku,name,price,category\n".to_owned();
    (0..250).for_each(|number| writeln!(text, "A-{number},Mug,free,K").expect("a string"));
    let faults = faults(csv(&text));
    assert_eq!((faults.len(), faults[100].as_str()), (101, "and 150 more"));
}

#[test]
fn too_many_categories_hint_at_the_wrong_column() {
    let mut text = "sku,name,price,category\n".to_owned();
    (0..=MAX_CATEGORIES).for_each(|number| writeln!(text, "A-{number},Mug,1,K{number}").expect("a string"));
    assert!(faults(csv(&text))[0].contains("is --category the right column?"));
}

#[test]
fn a_currency_without_known_digits_is_refused() {
    let options = ImportOptions { currency: "EUS".parse().expect("three letters"), ..options(Format::Csv) };
    assert!(
        faults(import(b"sku,name,price,category\na,b,1,c\n", &options, |_| {}))[0]
            .starts_with("EUS is not in ISO 4217")
    );
}

#[test]
fn the_format_shows_in_the_first_character() {
    for (text, format) in
        [("\u{feff} [", Format::Json), ("\n{", Format::Json), ("sku,name", Format::Csv), ("", Format::Csv)]
    {
        assert_eq!(Format::of(text.as_bytes()), format, "{text}");
    }
}

#[test]
fn the_sample_reads_back_from_csv_and_json() {
    let products = sample(300, 9).expect("a sample");
    let price = |amount: i64| format!("{}.{:02}", amount / 100, amount % 100);
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    writer.write_record(["sku", "name", "price", "category"]).expect("memory");
    let mut lines = String::new();
    for product in &products {
        let (sku, name, category) = (product.sku.as_str(), product.name.as_str(), product.category.as_str());
        let price = price(product.price.amount);
        writer.write_record([sku, name, &price, category]).expect("memory");
        let object = serde_json::json!({"sku": sku, "name": name, "price": price, "category": category});
        writeln!(lines, "{object}").expect("a string");
    }
    let text = writer.into_inner().expect("memory");
    assert_eq!(import(&text, &options(Format::Csv), |_| {}).expect("products").products, products);
    assert_eq!(json(&lines).expect("products").products, products);
}

proptest! {
    #[test]
    fn no_input_makes_it_fail_otherwise_than_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}\",:sku\n\r0-9.e-]{0,200}",
    ) {
        let header = b"sku,name,price,category\n".as_slice();
        for format in [Format::Csv, Format::Json] {
            let _ = import(&bytes, &options(format), |_| {});
            let _ = import(text.as_bytes(), &options(format), |_| {});
            let _ = import(&[header, &bytes].concat(), &options(format), |_| {});
            let _ = import(&[header, text.as_bytes()].concat(), &options(format), |_| {});
        }
    }
}
