//! Search by SKU and by the beginnings of words, ranked, with one typo forgiven. Pure.

use std::ops::Range;

use super::{
    cursor::{BadCursor, Cursor, Of},
    fold::{fold, words},
    page::{Page, SearchQuery, facets},
    sets::{self, Bits},
    snapshot::Snapshot,
};

/// Most words of a query that count; the first ones do.
pub const MAX_TERMS: usize = 8;

/// Most characters of a query that are looked at.
pub const MAX_QUERY_CHARACTERS: usize = 1_024;

/// Most bytes of a word that count.
const MAX_TERM_BYTES: usize = 64;

/// A word may hold a typo from this length on.
const LEAST_LETTERS_OF_A_TYPO: usize = 4;

/// The products that a query means.
struct Matches<'snapshot> {
    /// All of them.
    all: Vec<u64>,
    /// The more of these a product is in, the better it is.
    better: Vec<Bits<'snapshot>>,
    /// The one that the query names by its SKU, better than any.
    exact: Option<u32>,
    /// The facets of all of them, when they are known without counting.
    facets: Option<&'snapshot [(u16, u32)]>,
}

impl Snapshot {
    /// The page of products that `query` means.
    ///
    /// First comes the product with exactly the SKU asked for. Then all products of which every word of the query begins a word of name or SKU; those
    /// with more whole words first, then by name. When there are none, each word of at least four letters (and no digit) may have one letter wrong,
    /// missing, too many, or swapped with its neighbour. A blank query means everything; one without a letter or digit nothing.
    ///
    /// # Errors
    /// When the cursor is not one of a search.
    pub fn search(&self, query: &SearchQuery<'_>) -> Result<Page<'_>, BadCursor> {
        let cursor = query.cursor.map(Cursor::decode).transpose()?;
        let after = match &cursor {
            None => None,
            Some(cursor) => match cursor.of {
                Of::Search { rank } => Some((rank, cursor.place(self).end)),
                Of::List(_) => return Err(BadCursor),
            },
        };
        let mut matches = self.matches(query.text);
        let facets = matches.facets.map_or_else(|| self.count_categories(&matches.all), <[_]>::to_vec);
        if let Some(category) = query.category {
            self.keep_category(&mut matches, category);
        }
        let total = sets::count(&matches.all);
        let limit = usize::from(query.limit);
        // One more than the page holds, to see whether there is a next one.
        let mut best = ranked(&mut matches, after, limit + 1);
        let more = best.len() > limit;
        best.truncate(limit);
        let last = best.last().filter(|_| more);
        Ok(Page {
            snapshot: self,
            next_cursor: last.map(|&(rank, last)| Cursor::encode(Of::Search { rank }, self, self.view(last))),
            ids: best.into_iter().map(|(_, id)| id).collect(),
            facets,
            total,
        })
    }

    fn matches(&self, text: &str) -> Matches<'_> {
        let text = text.char_indices().nth(MAX_QUERY_CHARACTERS).map_or(text, |(end, _)| &text[..end]);
        if text.trim().is_empty() {
            let mut all = self.postings.none();
            self.by_name.all.iter().for_each(|&id| sets::set(&mut all, id));
            return Matches { all, better: Vec::new(), exact: None, facets: None };
        }
        let terms = terms(&fold(text));
        let exact = self.id_of(text.trim());
        let mut matches = self.matches_of(&terms);
        if let Some(id) = exact {
            matches.facets = matches.facets.filter(|_| sets::has(&matches.all, id));
            sets::set(&mut matches.all, id);
        } else if sets::is_empty(&matches.all) && terms.iter().any(|term| may_hold_typo(term)) {
            matches = self.misspelt_matches_of(&terms);
        }
        Matches { exact, ..matches }
    }

    /// The products that have all terms, each as the beginning of a word.
    fn matches_of(&self, terms: &[String]) -> Matches<'_> {
        let mut all: Option<Vec<u64>> = None;
        let mut better = Vec::new();
        let mut facets = None;
        for term in terms {
            let starting = self.words.starting_with(term);
            if starting.is_empty() {
                return Matches { all: self.postings.none(), better: Vec::new(), exact: None, facets: None };
            }
            if let Some(whole) = self.whole(&starting, term) {
                better.push(self.postings.union(&whole));
            }
            let these = self.postings.union(&starting);
            match &mut all {
                None => {
                    facets = self.postings.ready_facets(&starting);
                    all = Some(these.into_owned());
                }
                Some(all) => {
                    facets = None;
                    sets::intersect(all, &these);
                }
            }
        }
        Matches { all: all.unwrap_or_else(|| self.postings.none()), better, exact: None, facets }
    }

    /// As [`matches_of`](Self::matches_of), with a typo in each term that is long enough; a whole word is better than a beginning of one, and either
    /// without typo better than with one.
    fn misspelt_matches_of(&self, terms: &[String]) -> Matches<'_> {
        let mut all: Option<Vec<u64>> = None;
        let mut better = Vec::new();
        for term in terms {
            let starting = self.words.starting_with(term);
            let mut these = self.postings.none();
            if let Some(whole) = self.whole(&starting, term) {
                self.postings.add(&whole, &mut these);
                better.push(these.clone().into());
            }
            self.postings.add(&starting, &mut these);
            if may_hold_typo(term) {
                better.push(these.clone().into());
                let misspelt = self.words.misspelt(term);
                misspelt.whole.iter().for_each(|&word| self.postings.add(&(word..word + 1), &mut these));
                better.push(these.clone().into());
                misspelt.prefixes.iter().for_each(|words| self.postings.add(words, &mut these));
            }
            match &mut all {
                None => all = Some(these),
                Some(all) => sets::intersect(all, &these),
            }
        }
        Matches { all: all.unwrap_or_else(|| self.postings.none()), better, exact: None, facets: None }
    }

    fn whole(&self, starting: &Range<u32>, term: &str) -> Option<Range<u32>> {
        self.words.whole(starting, term.len()).map(|word| word..word + 1)
    }

    pub(super) fn count_categories(&self, products: &[u64]) -> Vec<(u16, u32)> {
        let mut counts = vec![0_u32; self.categories.len()];
        for id in sets::all_products(products) {
            counts[self.category_of[id as usize] as usize] += 1;
        }
        facets(counts.into_iter())
    }

    fn keep_category(&self, matches: &mut Matches<'_>, category: &str) {
        let mut of_category = self.postings.none();
        if let Some(category) = self.category_number(category) {
            sets::set_all(&mut of_category, self.in_order(&self.by_name, Some(category)));
        }
        sets::intersect(&mut matches.all, &of_category);
        matches.exact = matches.exact.filter(|&id| sets::has(&matches.all, id));
    }
}

/// The words of a folded query, each once, the first [`MAX_TERMS`].
fn terms(folded: &str) -> Vec<String> {
    let mut terms: Vec<String> = Vec::new();
    for word in words(folded) {
        let mut term = word.letters().into_owned();
        term.truncate(term.floor_char_boundary(MAX_TERM_BYTES));
        if !terms.contains(&term) {
            terms.push(term);
        }
        if terms.len() == MAX_TERMS {
            break;
        }
    }
    terms
}

fn may_hold_typo(term: &str) -> bool {
    term.chars().nth(LEAST_LETTERS_OF_A_TYPO - 1).is_some() && term.chars().all(char::is_alphabetic)
}

/// The best `wanted` products with their ranks, 0 first, of equal ones by id; only those after the given rank and from the given id on.
fn ranked(matches: &mut Matches<'_>, after: Option<(u32, u32)>, wanted: usize) -> Vec<(u32, u32)> {
    let mut best = Vec::with_capacity(wanted);
    let (first_rank, first_id) = after.unwrap_or((0, 0));
    // Rank 0 is the exact one's alone.
    if let Some(id) = matches.exact {
        sets::unset(&mut matches.all, id);
        if first_rank == 0 && first_id <= id {
            best.push((0, id));
        }
    }
    let most = u32::try_from(matches.better.len()).unwrap_or(u32::MAX);
    for rank in first_rank.max(1)..=most.saturating_add(1) {
        let from = if rank == first_rank { first_id } else { 0 };
        for (place, &word) in (0..).zip(&matches.all).skip(from as usize / 64) {
            if word == 0 {
                continue;
            }
            let mut of_rank = word & in_exactly(&matches.better, place as usize, most + 1 - rank);
            if place == from / 64 {
                of_rank &= u64::MAX << (from % 64);
            }
            for id in sets::products(of_rank, place * 64) {
                best.push((rank, id));
                if best.len() == wanted {
                    return best;
                }
            }
        }
    }
    best
}

/// Which of the 64 products of a place are in exactly `wanted` of the sets: 64 binary counters, a bit of each in every plane.
fn in_exactly(of: &[Bits<'_>], place: usize, wanted: u32) -> u64 {
    let mut planes = [0_u64; 5];
    for bits in of {
        let mut carry = bits[place];
        for plane in &mut planes {
            (*plane, carry) = (*plane ^ carry, *plane & carry);
        }
    }
    (0..).zip(planes).fold(u64::MAX, |equal, (bit, plane)| equal & if wanted >> bit & 1 == 1 { plane } else { !plane })
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
