//! Lost requests against the value of a setting.

use super::paint;
use super::plot;
use super::scale::{Linear, short, ticks_beyond};
use super::svg::{Area, Svg, Type};
use crate::figures::{Kind, Rehearsal, Summary, Sweep};
use crate::words::{Choice, Verdict, count, counted, headline, lost_by_kind, printable, real, sent, setting, verdict};

const WIDTH: f64 = 1600.0;
const HEIGHT: f64 = 860.0;
const TEXT: f64 = 18.0;

pub(crate) fn sweep(rehearsal: &Rehearsal, sweep: &Sweep, id: &str) -> String {
    let area = Area::new(200.0, 196.0, WIDTH - 200.0 - 40.0, HEIGHT - 196.0 - 116.0);
    let summaries: Vec<Summary> = rehearsal.runs.iter().map(Summary::of).collect();
    let choice = Choice::of(rehearsal);
    let mut svg = Svg::new(id, WIDTH, HEIGHT);
    paint::define(&mut svg);

    let look = Type::of(34.0).bold();
    svg.text((40.0, 60.0), look, &look.fit(&headline(rehearsal), WIDTH - 80.0));
    let care = choice.as_ref().map(|choice| choice.cautions.join("; ")).unwrap_or_default();
    let says = if care.is_empty() {
        "lost requests of one update under load, for each value".to_owned()
    } else {
        format!("careful: {care}")
    };
    let look = Type::of(TEXT).quiet();
    svg.text((40.0, 96.0), look, &look.fit(&says, WIDTH - 80.0));
    let lost: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| kind.is_lost() && summaries.iter().any(|summary| summary.count(*kind) > 0))
        .collect();
    paint::legend(&mut svg, &lost, (area.left, 140.0), TEXT);

    let most = summaries.iter().map(Summary::lost).max().unwrap_or(0).max(1);
    // A half request is none: no tick between whole ones.
    let ticks: Vec<f64> = ticks_beyond(real(most) * 1.08, 6).into_iter().filter(|tick| tick.fract() == 0.0).collect();
    let y = Linear::new(0.0, ticks.last().copied().unwrap_or(1.0).max(1.0), area.bottom(), area.top);
    for tick in &ticks {
        let at = y.at(*tick).round();
        svg.line((area.left, at), (area.right(), at), r##"stroke="#e2e2e2" stroke-width="1""##);
        svg.text((area.left - 12.0, at + 6.0), Type::of(TEXT).quiet().end(), &short(*tick));
    }
    svg.text((40.0, area.top + 16.0), Type::of(20.0).bold(), "lost");
    svg.text((40.0, area.top + 40.0), Type::of(TEXT).quiet(), "requests");

    let each = area.width / super::real_usize(sweep.values.len().max(1));
    // As many labels as have room.
    let widest = sweep.values.iter().map(|value| Type::of(TEXT).width(&setting(*value))).fold(20.0, f64::max);
    let room = |step: &usize| each * super::real_usize(*step) > widest + 14.0;
    let step = (1..=sweep.values.len()).find(room).unwrap_or(1);
    for (index, ((value, summary), run)) in sweep.values.iter().zip(&summaries).zip(&rehearsal.runs).enumerate() {
        let slot = Area::new(area.left + each * super::real_usize(index), area.top, each, area.height);
        let chosen = choice.as_ref().and_then(|choice| choice.chosen) == Some(index);
        if chosen {
            svg.rect(slot, r##"fill="#dff2ea""##);
        }
        let width = (each * 0.62).min(110.0);
        let top = bars(&mut svg, y, summary, (slot.middle() - width / 2.0, width));
        match verdict(run, summary) {
            Verdict::Lost if each > 34.0 => {
                svg.text((slot.middle(), top - 9.0), Type::of(TEXT).bold().middle().halo(), &count(summary.lost()));
            }
            Verdict::Lost => {}
            found => {
                paint::badge(&mut svg, found, (slot.middle(), area.bottom() - 24.0), (each * 0.3).clamp(5.0, 15.0));
            }
        }
        if index % step == 0 || chosen {
            // A label that is out of turn may have a neighbour.
            let crowded = chosen && index % step != 0;
            let at = if crowded { area.bottom() + 50.0 } else { area.bottom() + 28.0 };
            let look = if chosen { Type::of(TEXT).bold().colour(paint::GOOD) } else { Type::of(TEXT) };
            svg.text((slot.middle(), at), look.middle(), &setting(*value));
        }
        let says = match summary.lost() {
            0 => "nothing lost".to_owned(),
            lost => format!("{} lost: {}", count(lost), lost_by_kind(summary)),
        };
        let says = format!("{}={}: {says}, of {}", sweep.setting, setting(*value), counted(sent(summary), "request"));
        svg.tooltip(slot, &says);
    }
    svg.line((area.left, area.bottom()), (area.right(), area.bottom()), r##"stroke="#7a7a7a" stroke-width="1.4""##);
    callout(&mut svg, sweep, choice.as_ref(), area, each);
    svg.text((area.middle(), HEIGHT - 26.0), Type::of(20.0).bold().middle(), &printable(&sweep.setting));
    svg.finish(&headline(rehearsal))
}

/// The stack of one value; says where it ends.
fn bars(svg: &mut Svg, y: Linear, summary: &Summary, (left, width): (f64, f64)) -> f64 {
    let mut bottom = y.at(0.0);
    for kind in Kind::ALL.into_iter().filter(|kind| kind.is_lost()) {
        let height = plot::bar(y, summary.count(kind));
        if height > 0.0 {
            let fill = paint::fill(svg, kind);
            svg.rect(Area::new(left, bottom - height, width, height), &fill);
            bottom -= height;
        }
    }
    bottom
}

/// The words above the chosen value.
fn callout(svg: &mut Svg, sweep: &Sweep, choice: Option<&Choice>, area: Area, each: f64) {
    let Some(index) = choice.and_then(|choice| choice.chosen) else { return };
    let Some(value) = sweep.values.get(index) else { return };
    let middle = area.left + each * (super::real_usize(index) + 0.5);
    let extreme = if sweep.setting == "lag" { "largest" } else { "smallest" };
    let says = format!("{}: the {extreme} value that lost nothing", setting(*value));
    let look = Type::of(20.0).bold().colour(paint::GOOD).middle();
    let half = look.width(&says) / 2.0;
    let at = middle.clamp(area.left + half, (area.right() - half).max(area.left + half));
    svg.text((at, area.top - 18.0), look, &says);
    svg.path(
        &format!("M{0} {1}l-7 -9h14z", super::svg::N(middle), super::svg::N(area.top - 2.0)),
        &format!(r#"fill="{}""#, paint::GOOD),
    );
}
