//! The table of docs/how-much-silence.md.

use std::fs;

use super::arrivals::Arrivals;
use super::cell::{Address, Cell, Connect, Outcome, Probe, Source};
use super::rules::Rule;

/// So many stops of each row.
const STOPS: usize = 400;

const HEADER: &str = "\
| calls | connections | beside | lag | upper bound | softstop | 5 s | 10 s | 15 s | 2 s of silence | ln(100)/r |
| --- | --- | --- | ---: | ---: | --- | ---: | ---: | ---: | --- | --- |
";

/// The table stands in the page between these lines.
const BEGIN: &str = "<!-- tests/rate_simulation.rs prints this table -->\n";
const END: &str = "<!-- end of the table -->";

const RULES: [Rule; 6] =
    [Rule::Softstop, Rule::Fixed(5.0), Rule::Fixed(10.0), Rule::Fixed(15.0), Rule::TwoSeconds, Rule::OnePause];

/// The rows, in order.
pub fn rows() -> Vec<Cell> {
    let poisson = |rate| Cell { arrivals: Arrivals::Poisson { rate }, ..Cell::default() };
    let worst = |cell: Cell| Cell { lag: 14.5, ..cell };
    let probes = |of: &[f64], address| of.iter().map(|&period| Probe::each(period, address)).collect::<Vec<_>>();
    let by_server = [0.02, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0].map(poisson);
    let half = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0].map(|rate| Cell { connect: Connect::Half, ..poisson(rate) });
    let by_client = [0.1, 1.0, 10.0].map(|rate| Cell { connect: Connect::ByClient, ..poisson(rate) });
    let kept = [0.1, 1.0, 10.0].map(|rate| Cell { connect: Connect::Kept, ..poisson(rate) });
    let pool = |connections, is_lifo| Connect::Pool { connections, is_lifo };
    let pools = [(10, true), (10, false), (100, false)]
        .map(|(connections, is_lifo)| [1.0, 10.0].map(|rate| (rate, pool(connections, is_lifo))))
        .concat()
        .into_iter()
        .map(|(rate, connect)| Cell { connect, clients: 1, ..poisson(rate) });
    let bursts = [0.2, 1.5, 4.0].map(|spread| [0.5, 2.0, 5.0].map(|rate| Arrivals::Bursts { rate, spread })).concat();
    let bursts = bursts.into_iter().map(|arrivals| worst(Cell { arrivals, ..Cell::default() }));
    let changing = [
        Arrivals::Night { rate: 1.0 },
        Arrivals::Day { rate: 1.0 },
        Arrivals::Falling { rate: 0.5 },
        Arrivals::Falling { rate: 2.0 },
    ]
    .map(|arrivals| worst(Cell { arrivals, ..Cell::default() }));
    let even = Cell { arrivals: Arrivals::Poll { period: 5.0 }, clients: 1, ..worst(Cell::default()) };
    let even_twice = [false, true].map(|is_named| Cell { is_named, ..even.clone() });
    let young = [(0.1, 10.0), (1.0, 10.0), (1.0, 60.0)].map(|(rate, age)| Cell { age, ..poisson(rate) });
    let lags = [0.0, 2.0, 8.0, 20.0].map(|lag| Cell { lag, upper: 25.0, ..poisson(5.0) });
    let beside = [1.0, 2.0, 5.0, 10.0].map(|period| Cell { probes: probes(&[period], Address::Own), ..poisson(1.0) });
    let same =
        [1.0, 10.0].map(|period| Cell { probes: probes(&[period], Address::OfClient), clients: 1, ..poisson(1.0) });
    let nobody = [vec![], vec![1.0], vec![10.0], vec![2.0, 10.0]].map(|of| Cell {
        probes: probes(&of, Address::OfAllProbes),
        lag: 0.0,
        ..Cell::default()
    });
    let without_netlink = [0.5, 5.0].map(|rate| Cell { source: Source::Proc, ..poisson(rate) });
    let nobody_without_netlink = Cell { source: Source::Proc, lag: 0.0, ..Cell::default() };
    by_server
        .iter()
        .cloned()
        .chain(by_server.iter().take(7).cloned().map(worst))
        .chain(half.iter().cloned())
        .chain(half.iter().take(5).cloned().map(worst))
        .chain(by_client)
        .chain(kept)
        .chain(pools.map(worst))
        .chain(bursts)
        .chain(changing)
        .chain(even_twice)
        .chain(young)
        .chain(lags)
        .chain(beside)
        .chain(same)
        .chain(nobody)
        .chain(without_netlink)
        .chain([nobody_without_netlink])
        .collect()
}

/// A row: how many stops lost a request, and how long after the lag the wait ended.
pub fn row(cell: &Cell) -> String {
    let outcomes = cell.run(STOPS, &RULES);
    let lost = |outcome: &Outcome| format!("{:.1} %", outcome.losing() as f64 * 100.0 / STOPS as f64);
    let beyond = |outcome: &Outcome, share| format!("{:+.1}", outcome.percentile(share) - cell.lag);
    let all = |outcome: &Outcome| format!("{}, {} s, {} s", lost(outcome), beyond(outcome, 0.5), beyond(outcome, 0.99));
    let [softstop, five, ten, fifteen, two_seconds, one_pause] = &outcomes[..] else { panic!("six rules") };
    format!(
        "| {} | {} | {} | {} s | {} s | {} | {} | {} | {} | {} | {} |\n",
        cell.arrivals,
        if cell.arrivals == Arrivals::Nobody { String::new() } else { cell.connect.to_string() },
        cell.beside(),
        cell.lag,
        cell.upper,
        all(softstop),
        lost(five),
        lost(ten),
        lost(fifteen),
        all(two_seconds),
        all(one_pause),
    )
}

/// Whether the row takes little time in a build without optimisation.
pub fn is_light(cell: &Cell) -> bool {
    matches!(cell.arrivals, Arrivals::Poisson { rate } if rate <= 0.5)
}

/// The whole table.
pub fn table() -> String {
    rows().iter().fold(HEADER.into(), |table, cell| table + &row(cell))
}

fn page() -> std::path::PathBuf {
    common::root().join("docs/how-much-silence.md")
}

/// The table of the page.
pub fn of_page() -> String {
    let page = fs::read_to_string(page()).unwrap();
    let (_, rest) = page.split_once(BEGIN).unwrap();
    rest.split_once(END).unwrap().0.into()
}

/// Replaces the table of the page.
pub fn write(table: &str) {
    let page_before = fs::read_to_string(page()).unwrap();
    let (head, rest) = page_before.split_once(BEGIN).unwrap();
    let (_, foot) = rest.split_once(END).unwrap();
    fs::write(page(), [head, BEGIN, table, END, foot].concat()).unwrap();
}
