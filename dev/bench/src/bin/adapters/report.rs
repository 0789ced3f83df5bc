//! The table of a cloud, in Markdown. No I/O.

use std::fmt::Write;

use super::measure::{BLOB, LISTED, Operation, PACK, Sample, Samples};
use super::side::MESSAGES;

/// Most processor time that an adapter may take, as a multiple of the bare loop's.
const BOUND: f64 = 1.2;

/// The table.
pub(crate) fn table(cloud: &str, samples: &Samples) -> String {
    let mut text = format!(
        "\n### {cloud}\n\n\
         | operation | p50 (ms) | bare p50 (ms) | operations/s | bare operations/s | CPU (us) | bare CPU (us) | CPU, of bare | at most {BOUND} |\n\
         |---|---|---|---|---|---|---|---|---|\n"
    );
    for (operation, sides) in samples {
        let of_both = |of: fn(&Sample) -> f64| sides.each_ref().map(|samples| median(samples, of));
        let latency = of_both(|sample| sample.latency);
        let rate = of_both(|sample| sample.rate);
        let cpu = of_both(|sample| sample.cpu);
        let ratio = cpu[0] / cpu[1];
        let verdict = if ratio <= BOUND { "yes" } else { "**no**" };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {} | {:.2} | {:.2} | {:.0} | {:.0} | {:.0} | {:.0} | {ratio:.2} | {verdict} |",
            name(*operation),
            latency[0],
            latency[1],
            rate[0],
            rate[1],
            cpu[0],
            cpu[1]
        );
    }
    text
}

fn name(operation: Operation) -> String {
    match operation {
        Operation::Put => format!("put, only if absent, {} KiB", BLOB / 1024),
        Operation::Get => format!("get, {} KiB", BLOB / 1024),
        Operation::List => format!("list, {LISTED} keys"),
        Operation::Send => format!("send, {} KiB", PACK / 1024),
        Operation::Receive => format!("receive, {MESSAGES} messages"),
        Operation::Ack => "ack".to_owned(),
    }
}

fn median(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(of).collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(cpus: [f64; 3]) -> Vec<Sample> {
        cpus.map(|cpu| Sample { latency: 1.0, rate: 1_000.0, cpu }).to_vec()
    }

    #[test]
    fn the_middle_round_of_each_side_decides() {
        let good = [rounds([100.0, 900.0, 110.0]), rounds([100.0, 1.0, 105.0])];
        let bad = [rounds([130.0, 130.0, 1.0]), rounds([100.0, 100.0, 900.0])];
        let text = table("AWS", &Samples::from([(Operation::Put, good), (Operation::Ack, bad)]));
        let rows: Vec<_> = text.lines().skip(5).collect();
        assert_eq!(rows[0], "| put, only if absent, 4 KiB | 1.00 | 1.00 | 1000 | 1000 | 110 | 100 | 1.10 | yes |");
        assert_eq!(rows[1], "| ack | 1.00 | 1.00 | 1000 | 1000 | 130 | 100 | 1.30 | **no** |");
    }
}
