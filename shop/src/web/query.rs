//! Reads query strings: any bytes at all are a query, only a value that makes no sense is refused. Pure.

use std::borrow::Cow;

use super::problem::{Code, Problem, sentence};
use crate::catalogue::{Limit, Sort};

/// What a list or a search was asked for. Of a parameter given twice the first counts; an empty one counts as absent.
#[derive(Debug, Default)]
pub(super) struct CatalogueParameters<'query> {
    text: Option<Cow<'query, str>>,
    limit: Option<Cow<'query, str>>,
    cursor: Option<Cow<'query, str>>,
    sort: Option<Cow<'query, str>>,
    category: Option<Cow<'query, str>>,
}

impl<'query> CatalogueParameters<'query> {
    /// Broken percent signs stay as they are; bytes that are no UTF-8 become replacement characters.
    pub(super) fn parse(query: Option<&'query str>) -> Self {
        let mut parameters = Self::default();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let place = match &*name {
                "q" => &mut parameters.text,
                "limit" => &mut parameters.limit,
                "cursor" => &mut parameters.cursor,
                "sort" => &mut parameters.sort,
                "category" => &mut parameters.category,
                _ => continue,
            };
            if place.is_none() && !value.is_empty() {
                *place = Some(value);
            }
        }
        parameters
    }

    pub(super) fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    pub(super) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    pub(super) fn category(&self) -> Option<&str> {
        self.category.as_deref()
    }

    pub(super) fn limit(&self) -> Result<Limit, Problem> {
        let Some(text) = &self.limit else { return Ok(Limit::default()) };
        // A number beyond an i64 is out of bounds like any other large one.
        let number = text.parse::<i64>().unwrap_or(i64::MAX);
        Limit::try_from(number).map_err(|error| malformed(&error))
    }

    pub(super) fn sort(&self) -> Result<Sort, Problem> {
        self.sort.as_ref().map_or(Ok(Sort::default()), |text| text.parse().map_err(|error| malformed(&error)))
    }
}

/// A parameter that makes no sense.
pub(super) fn malformed(error: &dyn std::error::Error) -> Problem {
    Problem::new(Code::Malformed, sentence(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn broken_percent_signs_and_foreign_bytes_are_text() {
        let parameters = CatalogueParameters::parse(Some("q=100%25+wool%&limit=3&q=second&%zz=1&category=%ff"));
        assert_eq!(parameters.text(), "100% wool%");
        assert_eq!(usize::from(parameters.limit().expect("a limit")), 3);
        assert_eq!(parameters.category(), Some("\u{fffd}"));
    }

    #[test]
    fn an_empty_parameter_counts_as_absent() {
        let parameters = CatalogueParameters::parse(Some("q=&limit=&cursor=&sort=&category="));
        assert_eq!((parameters.text(), parameters.cursor(), parameters.category()), ("", None, None));
        assert_eq!(parameters.limit(), Ok(Limit::default()));
        assert_eq!(parameters.sort(), Ok(Sort::Name));
    }

    #[test]
    fn a_limit_or_sort_that_makes_no_sense_is_refused() {
        for wrong in ["0", "-1", "101", "ten", "1.5", "99999999999999999999"] {
            let query = format!("limit={wrong}");
            let refused = CatalogueParameters::parse(Some(&query)).limit().expect_err(wrong);
            assert_eq!(refused.code(), Code::Malformed);
        }
        assert!(CatalogueParameters::parse(Some("sort=-sku")).sort().is_err());
    }

    proptest! {
        #[test]
        fn no_query_string_is_too_strange(query in ".{0,200}") {
            let parameters = CatalogueParameters::parse(Some(&query));
            let _ = (parameters.limit(), parameters.sort());
        }
    }
}
