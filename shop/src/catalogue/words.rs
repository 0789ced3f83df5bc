//! All words of a catalogue in order, and the ranges of them that a search term means. Pure.

use std::ops::Range;

/// Words in byte order, without doubles; a word is known by its number.
#[derive(Debug, Default)]
pub(super) struct Words {
    text: String,
    /// Where each word ends in `text`.
    ends: Vec<u32>,
}

/// The words that one misspelling of a term may mean.
#[derive(Debug, Default)]
pub(super) struct Misspelt {
    /// Words that are one typo away as a whole; ascending, without doubles.
    pub(super) whole: Vec<u32>,
    /// Ranges of words of which a beginning is one typo away; may overlap.
    pub(super) prefixes: Vec<Range<u32>>,
}

impl Words {
    /// Appends a word, which must come after all before it.
    pub(super) fn push(&mut self, word: &str) {
        debug_assert!(self.ends.is_empty() || self.word(self.count() - 1) < word, "words come in order");
        self.text.push_str(word);
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
    }

    /// How many words there are.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.ends.len()).unwrap_or(u32::MAX)
    }

    /// Bytes it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<u32>()
    }

    /// Gives back memory that was set aside for more words.
    pub(super) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    fn word(&self, number: u32) -> &str {
        let number = number as usize;
        let start = if number == 0 { 0 } else { self.ends[number - 1] as usize };
        &self.text[start..self.ends[number] as usize]
    }

    /// The words that start with `prefix`.
    pub(super) fn starting_with(&self, prefix: &str) -> Range<u32> {
        self.going_on(0..self.count(), 0, prefix)
    }

    /// Of the words that all start with the same `bytes` bytes, the one that has no more than those.
    pub(super) fn whole(&self, starting: &Range<u32>, bytes: usize) -> Option<u32> {
        (!starting.is_empty() && self.word(starting.start).len() == bytes).then_some(starting.start)
    }

    /// Of the words `within`, which share their first `shared` bytes, those that go on with `text`.
    fn going_on(&self, within: Range<u32>, shared: usize, text: &str) -> Range<u32> {
        let (text, after) = (text.as_bytes(), |number| &self.word(number).as_bytes()[shared..]);
        let start = first(within.clone(), |number| after(number) >= text);
        start..end_of_run(start..within.end, |number| after(number).starts_with(text))
    }

    /// The words that `term` means when one character of it is wrong, missing or too many, or two neighbours are swapped.
    ///
    /// A walk down the words as if they were a trie: where the term may go wrong, at each character, it follows only characters that some word has
    /// there.
    pub(super) fn misspelt(&self, term: &str) -> Misspelt {
        let mut found = Misspelt::default();
        // The words that share the term's first `shared` bytes.
        let mut sharing = 0..self.count();
        for (shared, character) in term.char_indices() {
            let tail = &term[shared..];
            let (this, rest) = tail.split_at(character.len_utf8());
            // One too many in the term.
            self.collect(&mut found, sharing.clone(), shared, rest);
            // Two neighbours swapped.
            if let Some(next) = rest.chars().next() {
                let (next, rest) = rest.split_at(next.len_utf8());
                let with_next = self.going_on(sharing.clone(), shared, next);
                let swapped = self.going_on(with_next, shared + next.len(), this);
                self.collect(&mut found, swapped, shared + next.len() + this.len(), rest);
            }
            self.for_each_next(sharing.clone(), shared, |shared, within| {
                // A wrong one in the term.
                self.collect(&mut found, within.clone(), shared, rest);
                // One missing from the term.
                self.collect(&mut found, within, shared, tail);
            });
            sharing = self.going_on(sharing, shared, this);
        }
        // The last one missing: the word is longer by any one character.
        self.for_each_next(sharing, term.len(), |shared, within| found.whole.extend(self.whole(&within, shared)));
        found.whole.sort_unstable();
        found.whole.dedup();
        found
    }

    /// Adds those of `within`, which share their first `shared` bytes, that go on with `rest`.
    fn collect(&self, found: &mut Misspelt, within: Range<u32>, shared: usize, rest: &str) {
        let starting = self.going_on(within, shared, rest);
        found.whole.extend(self.whole(&starting, shared + rest.len()));
        if !starting.is_empty() {
            found.prefixes.push(starting);
        }
    }

    /// As the words of `within` share their first `shared` bytes: calls `each` for every character that some have next, with the bytes that those
    /// share and their range.
    pub(super) fn for_each_next(&self, within: Range<u32>, shared: usize, mut each: impl FnMut(usize, Range<u32>)) {
        let mut at = within.start;
        while at < within.end {
            let after = |number| &self.word(number)[shared..];
            let Some(next) = after(at).chars().next() else {
                at += 1;
                continue;
            };
            let end = end_of_run(at..within.end, |number| after(number).starts_with(next));
            each(shared + next.len_utf8(), at..end);
            at = end;
        }
    }
}

/// The first number `within` for which `holds` is true; it must be false up to one place and true from there.
fn first(within: Range<u32>, holds: impl Fn(u32) -> bool) -> u32 {
    let (mut low, mut high) = (within.start, within.end);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// Where the run of words ends that starts `within` and for which `holds` is true. Mostly it is short, so it is felt for from its
/// start, in steps of twice the length.
fn end_of_run(within: Range<u32>, holds: impl Fn(u32) -> bool) -> u32 {
    let (mut start, mut step) = (within.start, 1);
    while within.end - start > step && holds(start + step - 1) {
        start += step;
        step *= 2;
    }
    first(start..within.end.min(start.saturating_add(step)), |number| !holds(number))
}

#[cfg(test)]
#[path = "words_tests.rs"]
pub(super) mod tests;
