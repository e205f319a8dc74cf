//! Lost requests against the value of a setting.

use super::palette;
use super::plot;
use super::scale::{Linear, tick_label, ticks_beyond};
use super::svg::{Area, Svg, TextStyle};
use crate::format::{count, counted, printable, real, setting_value};
use crate::rehearsal::{Rehearsal, Sweep};
use crate::report::conclusion::{Conclusion, lost_by_verdict};
use crate::report::headline::headline;
use crate::report::summary::Summary;
use crate::report::sweep_choice::{SweepChoice, extreme};
use crate::verdict::Verdict;

const WIDTH: f64 = 1600.0;
const HEIGHT: f64 = 860.0;
const TEXT_SIZE: f64 = 18.0;

pub(crate) fn sweep(rehearsal: &Rehearsal, sweep: &Sweep, id: &str) -> String {
    let area = Area::new(200.0, 196.0, WIDTH - 200.0 - 40.0, HEIGHT - 196.0 - 116.0);
    let summaries: Vec<Summary> = rehearsal.runs.iter().map(Summary::of).collect();
    let choice = SweepChoice::of(rehearsal);
    let mut svg = Svg::new(id, WIDTH, HEIGHT);
    palette::define(&mut svg);

    let style = TextStyle::of(34.0).bold();
    svg.text((40.0, 60.0), style, &style.fit(&headline(rehearsal), WIDTH - 80.0));
    let cautions = choice.as_ref().map(|choice| choice.cautions.join("; ")).unwrap_or_default();
    let subtitle = if cautions.is_empty() {
        "lost requests of one update under load, for each value".to_owned()
    } else {
        format!("careful: {cautions}")
    };
    let style = TextStyle::of(TEXT_SIZE).quiet();
    svg.text((40.0, 96.0), style, &style.fit(&subtitle, WIDTH - 80.0));
    let lost: Vec<Verdict> =
        Verdict::lost().filter(|verdict| summaries.iter().any(|summary| summary.count(*verdict) > 0)).collect();
    palette::legend(&mut svg, &lost, (area.left, 140.0), TEXT_SIZE);

    let most = summaries.iter().map(Summary::lost).max().unwrap_or(0).max(1);
    // Requests come in whole numbers, so ticks do too.
    let ticks: Vec<f64> = ticks_beyond(real(most) * 1.08, 6).into_iter().filter(|tick| tick.fract() == 0.0).collect();
    let y = Linear::new(0.0, ticks.last().copied().unwrap_or(1.0).max(1.0), area.bottom(), area.top);
    for tick in &ticks {
        let at = y.at(*tick).round();
        svg.line((area.left, at), (area.right(), at), r##"stroke="#e2e2e2" stroke-width="1""##);
        svg.text((area.left - 12.0, at + 6.0), TextStyle::of(TEXT_SIZE).quiet().end(), &tick_label(*tick));
    }
    svg.text((40.0, area.top + 16.0), TextStyle::of(20.0).bold(), "lost");
    svg.text((40.0, area.top + 40.0), TextStyle::of(TEXT_SIZE).quiet(), "requests");

    let each = area.width / super::real_usize(sweep.values.len().max(1));
    // As many labels as fit.
    let widest =
        sweep.values.iter().map(|value| TextStyle::of(TEXT_SIZE).width(&setting_value(*value))).fold(20.0, f64::max);
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
        match Conclusion::of(run, summary) {
            Conclusion::Lost if each > 34.0 => {
                svg.text(
                    (slot.middle(), top - 9.0),
                    TextStyle::of(TEXT_SIZE).bold().middle().halo(),
                    &count(summary.lost()),
                );
            }
            Conclusion::Lost => {}
            conclusion => {
                palette::badge(
                    &mut svg,
                    conclusion,
                    (slot.middle(), area.bottom() - 24.0),
                    (each * 0.3).clamp(5.0, 15.0),
                );
            }
        }
        if index % step == 0 || chosen {
            // The label of the chosen value may be too close to another: it goes one line lower.
            let crowded = chosen && index % step != 0;
            let at = if crowded { area.bottom() + 50.0 } else { area.bottom() + 28.0 };
            let style =
                if chosen { TextStyle::of(TEXT_SIZE).bold().colour(palette::GOOD) } else { TextStyle::of(TEXT_SIZE) };
            svg.text((slot.middle(), at), style.middle(), &setting_value(*value));
        }
        let lost = match summary.lost() {
            0 => "nothing lost".to_owned(),
            lost => format!("{} lost: {}", count(lost), lost_by_verdict(summary)),
        };
        let sent = counted(summary.sent(), "request");
        svg.tooltip(slot, &format!("{}={}: {lost}, of {sent}", sweep.setting, setting_value(*value)));
    }
    svg.line((area.left, area.bottom()), (area.right(), area.bottom()), r##"stroke="#7a7a7a" stroke-width="1.4""##);
    callout(&mut svg, sweep, choice.as_ref(), area, each);
    svg.text((area.middle(), HEIGHT - 26.0), TextStyle::of(20.0).bold().middle(), &printable(&sweep.setting));
    svg.finish(&headline(rehearsal))
}

/// The stack of one value. Returns the top.
fn bars(svg: &mut Svg, y: Linear, summary: &Summary, (left, width): (f64, f64)) -> f64 {
    let mut bottom = y.at(0.0);
    for verdict in Verdict::lost() {
        let height = plot::bar_height(y, summary.count(verdict));
        if height > 0.0 {
            let fill = palette::fill(svg, verdict);
            svg.rect(Area::new(left, bottom - height, width, height), &fill);
            bottom -= height;
        }
    }
    bottom
}

/// The text above the chosen value.
fn callout(svg: &mut Svg, sweep: &Sweep, choice: Option<&SweepChoice>, area: Area, each: f64) {
    let Some(index) = choice.and_then(|choice| choice.chosen) else { return };
    let Some(value) = sweep.values.get(index) else { return };
    let middle = area.left + each * (super::real_usize(index) + 0.5);
    let text = format!("{}: the {} value that lost nothing", setting_value(*value), extreme(sweep));
    let style = TextStyle::of(20.0).bold().colour(palette::GOOD).middle();
    let half = style.width(&text) / 2.0;
    let at = middle.clamp(area.left + half, (area.right() - half).max(area.left + half));
    svg.text((at, area.top - 18.0), style, &text);
    svg.path(
        &format!("M{0} {1}l-7 -9h14z", super::svg::Number(middle), super::svg::Number(area.top - 2.0)),
        &format!(r#"fill="{}""#, palette::GOOD),
    );
}
