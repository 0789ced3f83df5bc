//! Rows of a CSV file with a header line. Pure.

use ::csv::{ByteRecord, ReaderBuilder};

use super::{
    Columns, Problem, line_breaks,
    rows::{Field, More, Row, Rows},
};

/// Most characters of the header that a report repeats.
const MAX_HEADER_CHARACTERS: usize = 500;

/// Where the four columns are in a row.
struct Places {
    sku: usize,
    name: usize,
    price: usize,
    category: usize,
    /// Fields of the header.
    count: usize,
}

/// Gives every row of `input` to `rows`.
pub(super) fn read(input: &[u8], columns: &Columns, rows: &mut Rows<'_, impl FnMut(u64)>) {
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(input);
    let mut record = ByteRecord::new();
    let mut lines = Lines { input, at: 0, line: 1 };
    let mut places = None;
    loop {
        let start = usize::try_from(reader.position().byte()).unwrap_or(usize::MAX);
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return,
            // Reading from memory with any number of fields, nothing else can fail.
            Err(error) => return rows.fault(None, None, Problem::Csv(error.to_string())),
        }
        let line = lines.of_record(start);
        let Some(places) = &places else {
            match find_columns(&record, columns, line, rows) {
                Some(found) => places = Some(found),
                None => return,
            }
            continue;
        };
        if push(line, &record, places, rows) == More::Useless {
            return;
        }
    }
}

fn push(line: u64, record: &ByteRecord, places: &Places, rows: &mut Rows<'_, impl FnMut(u64)>) -> More {
    if record.len() != places.count {
        return rows.skip(line, Problem::FieldCount { found: record.len(), expected: places.count });
    }
    let field = |place: usize| -> Field<'_> {
        let bytes = record.get(place).ok_or(Problem::MissingMember)?;
        Ok(std::str::from_utf8(bytes).map_err(|_| Problem::NotUtf8)?.into())
    };
    let row = Row {
        sku: field(places.sku),
        name: field(places.name),
        price: field(places.price),
        category: field(places.category),
    };
    rows.push(line, row)
}

fn find_columns(
    header: &ByteRecord,
    columns: &Columns,
    line: u64,
    rows: &mut Rows<'_, impl FnMut(u64)>,
) -> Option<Places> {
    let names: Vec<String> =
        header.iter().map(|name| String::from_utf8_lossy(name.trim_ascii()).into_owned()).collect();
    let mut find = |option: &'static str, wanted: &str| {
        // As it is written, or, when none is, whatever its case.
        let same = |name: &str| name == wanted;
        let alike = |name: &str| name.eq_ignore_ascii_case(wanted);
        let at = |is: &dyn Fn(&str) -> bool| (0..names.len()).filter(|&at| is(&names[at])).collect::<Vec<usize>>();
        let exact = at(&same);
        let places = if exact.is_empty() { at(&alike) } else { exact };
        let problem = match *places {
            [place] => return Some(place),
            [] => missing(option, &names),
            _ => Problem::AmbiguousColumn(places.len()),
        };
        rows.fault(Some(line), Some(wanted), problem);
        None
    };
    // All four are looked for before one that is missing ends it, so that all are named at once.
    let sku = find("sku", &columns.sku);
    let name = find("name", &columns.name);
    let price = find("price", &columns.price);
    let category = find("category", &columns.category);
    Some(Places { sku: sku?, name: name?, price: price?, category: category?, count: header.len() })
}

fn missing(option: &'static str, names: &[String]) -> Problem {
    let found: String = names.join(", ").chars().take(MAX_HEADER_CHARACTERS).collect();
    let hint = if names.len() == 1 && names[0].contains([';', '\t']) {
        "; the fields seem to be separated by something else than commas: save the file with commas"
    } else {
        ""
    };
    Problem::MissingColumn { option, found, hint }
}

/// Counts lines up to where records start.
struct Lines<'input> {
    input: &'input [u8],
    at: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line of the record that was read from `start` on, where blank lines may come first.
    fn of_record(&mut self, start: usize) -> u64 {
        let rest = self.input.get(start..).unwrap_or_default();
        let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let record = (start + blank).min(self.input.len());
        // A carriage return alone ends a record too, but no editor counts it as a line.
        let passed = self.input.get(self.at..record).unwrap_or_default();
        self.line += line_breaks(passed);
        self.at = record;
        self.line
    }
}
