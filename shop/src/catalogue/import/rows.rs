//! Makes products of rows and collects what is wrong with them. Pure.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    str::FromStr,
};

use super::{ImportOptions, ImportReport, Imported, OnDuplicate, Problem, price};
use crate::{
    catalogue::{MAX_CATEGORIES, MAX_PRODUCTS},
    domain::{Category, Money, Product, ProductName, Sku},
};

/// Rows between two calls of the progress callback.
const PROGRESS_ROWS: u64 = 50_000;

/// A field's text, or why it has none.
pub(super) type Field<'input> = Result<Cow<'input, str>, Problem>;

/// The four fields of a row.
pub(super) struct Row<'input> {
    pub(super) sku: Field<'input>,
    pub(super) name: Field<'input>,
    pub(super) price: Field<'input>,
    pub(super) category: Field<'input>,
}

/// Where a SKU was first.
struct Seen {
    line: u64,
    /// Its place among the products, unless its row had a fault.
    place: Option<usize>,
}

/// Whether more rows are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum More {
    Wanted,
    Useless,
}

/// The products read so far, and the faults.
pub(super) struct Rows<'options, Progress> {
    options: &'options ImportOptions,
    digits: u32,
    products: Vec<Product>,
    duplicates: usize,
    seen: HashMap<Sku, Seen>,
    categories: HashSet<Category>,
    report: ImportReport,
    count: u64,
    progress: Progress,
}

impl<'options, Progress: FnMut(u64)> Rows<'options, Progress> {
    pub(super) fn new(options: &'options ImportOptions, progress: Progress) -> Result<Self, Problem> {
        let digits = options.currency.minor_digits().ok_or(Problem::UnknownCurrency(options.currency))?;
        let columns = &options.columns;
        let names = [&columns.sku, &columns.name, &columns.price, &columns.category];
        if let Some(twice) = (1..4).find(|&at| names[..at].contains(&names[at])) {
            return Err(Problem::ColumnTwice(names[twice].clone()));
        }
        Ok(Self {
            options,
            digits,
            products: Vec::new(),
            duplicates: 0,
            seen: HashMap::new(),
            categories: HashSet::new(),
            report: ImportReport::default(),
            count: 0,
            progress,
        })
    }

    pub(super) fn fault(&mut self, line: Option<u64>, column: Option<&str>, problem: Problem) {
        self.report.add(line, column, problem);
    }

    /// Takes a row.
    pub(super) fn push(&mut self, line: u64, row: Row<'_>) -> More {
        if !self.has_room() {
            return More::Useless;
        }
        let options = self.options;
        let columns = &options.columns;
        let Row { sku, name, price, category } = row;
        let sku = self.parsed::<Sku>(line, &columns.sku, sku);
        let name = self.parsed::<ProductName>(line, &columns.name, name);
        let digits = self.digits;
        let price = price.and_then(|text| Ok(price::parse(text.trim(), digits)?));
        let price = price.map_err(|problem| self.fault(Some(line), Some(&columns.price), problem)).ok();
        let category = self.parsed::<Category>(line, &columns.category, category);
        let Some(sku) = sku else { return More::Wanted };
        let product = name.zip(price).zip(category).map(|((name, amount), category)| Product {
            sku: sku.clone(),
            name,
            price: Money { amount, currency: options.currency },
            category,
        });
        if let Some(product) = &product
            && !self.categories.contains(&product.category)
        {
            if self.categories.len() == MAX_CATEGORIES {
                self.fault(Some(line), Some(&columns.category), Problem::TooManyCategories);
                return More::Useless;
            }
            self.categories.insert(product.category.clone());
        }
        self.keep(line, sku, product);
        More::Wanted
    }

    /// Counts a row that holds no product.
    pub(super) fn skip(&mut self, line: u64, problem: Problem) -> More {
        if !self.has_room() {
            return More::Useless;
        }
        self.fault(Some(line), None, problem);
        More::Wanted
    }

    fn has_room(&mut self) -> bool {
        if self.count >= MAX_PRODUCTS as u64 {
            self.fault(None, None, Problem::TooManyProducts);
            return false;
        }
        self.count += 1;
        if self.count.is_multiple_of(PROGRESS_ROWS) {
            (self.progress)(self.count);
        }
        true
    }

    fn keep(&mut self, line: u64, sku: Sku, product: Option<Product>) {
        let Some(seen) = self.seen.get_mut(&sku) else {
            self.seen.insert(sku, Seen { line, place: product.as_ref().map(|_| self.products.len()) });
            self.products.extend(product);
            return;
        };
        match self.options.on_duplicate {
            OnDuplicate::Refuse => {
                let problem = Problem::Duplicate { sku: sku.to_string(), first: seen.line };
                self.fault(Some(line), Some(&self.options.columns.sku), problem);
            }
            OnDuplicate::First => self.duplicates += 1,
            OnDuplicate::Last => {
                self.duplicates += 1;
                seen.line = line;
                if let (Some(place), Some(product)) = (seen.place, product) {
                    self.products[place] = product;
                }
            }
        }
    }

    fn parsed<T: FromStr<Err: Into<Problem>>>(&mut self, line: u64, column: &str, field: Field<'_>) -> Option<T> {
        let parsed = field.and_then(|text| text.trim().parse::<T>().map_err(Into::into));
        parsed.map_err(|problem| self.fault(Some(line), Some(column), problem)).ok()
    }

    /// All products, or all faults.
    pub(super) fn finish(mut self) -> Result<Imported, ImportReport> {
        if self.report.is_empty() && self.products.is_empty() {
            self.fault(None, None, Problem::NoProducts);
        }
        if self.report.is_empty() {
            Ok(Imported { products: self.products, duplicates: self.duplicates })
        } else {
            Err(self.report)
        }
    }
}
