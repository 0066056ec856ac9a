//! The course of a training run: the share of right answers, and their loss.

use eframe::egui::{
    Align2, Color32, Rect, Role, Sense, Shape, Stroke, TextStyle, Ui, WidgetInfo, pos2, vec2,
};
use inscribe::words;
use inscribe::write::chart;

use super::super::{percent, scale};
use crate::run::figures::tick_labels;
use crate::state::train::{Point, TrainRun};
use crate::theme::{Theme, section};

const TALL: f32 = 96.0;
/// Room for the numbers at the left and below.
const LEFT: f32 = 40.0;
const BELOW: f32 = 18.0;

/// What stands at the sides of a plot.
struct Axis {
    name: &'static str,
    high: f64,
    in_percent: bool,
    /// Where there is room for the names of stages.
    names: Align2,
}

pub fn exact(ui: &mut Ui, run: &TrainRun) {
    let words = "Share of questions answered exactly. A line across: more pairs from there on";
    section(ui, "Right answers", words);
    let axis = Axis {
        name: "Right answers",
        high: 1.0,
        in_percent: true,
        names: Align2::LEFT_BOTTOM,
    };
    let colour = Theme::of(ui).palette.better;
    draw(ui, run, &axis, colour, |point| point.exact);
}

pub fn loss(ui: &mut Ui, run: &TrainRun) {
    let words = "In nats a token; 4.25 is a blind guess";
    section(ui, "Loss of the answers", words);
    let losses = run.points.iter().map(|point| point.loss);
    let axis = Axis {
        name: "Loss",
        high: chart::range(losses).map_or(1.0, |(_, high)| high.max(0.1)),
        in_percent: false,
        names: Align2::LEFT_TOP,
    };
    let colour = Theme::of(ui).palette.worse;
    draw(ui, run, &axis, colour, |point| point.loss);
}

fn draw(ui: &mut Ui, run: &TrainRun, axis: &Axis, colour: Color32, value: impl Fn(&Point) -> f64) {
    let p = Theme::of(ui).palette;
    let size = vec2(ui.available_width(), TALL * scale(ui) + BELOW);
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    let plot = Rect::from_min_max(rect.min + vec2(LEFT, 6.0), rect.max - vec2(4.0, BELOW));
    let painter = ui.painter();
    let font = TextStyle::Small.resolve(ui.style());
    let y = |value: f64| plot.bottom() - plot.height() * (value / axis.high) as f32;
    for (tick, label) in tick_labels(0.0, axis.high, 4) {
        let label = if axis.in_percent {
            percent(tick as f32)
        } else {
            label
        };
        painter.hline(plot.x_range(), y(tick), Stroke::new(1.0, p.grid));
        let place = pos2(plot.left() - 6.0, y(tick));
        painter.text(place, Align2::RIGHT_CENTER, label, font.clone(), p.muted);
    }
    let last = run.points.last().map_or(0, |point| point.step);
    let x = |step: u64| plot.left() + plot.width() * step as f32 / last.max(1) as f32;
    for &(step, stage) in run.stages.iter().filter(|(step, _)| *step < last) {
        painter.vline(x(step), plot.y_range(), Stroke::new(1.0, p.faint));
        let stages = run.settings.as_ref().map(|settings| &settings.stages);
        let stage = stages.and_then(|stages| stages.get(stage));
        let words = stage.map_or(String::new(), |s| words::counted(s.level, "pair"));
        let edge = if axis.names == Align2::LEFT_TOP {
            plot.top()
        } else {
            plot.bottom() - 2.0
        };
        let place = pos2(x(step) + 4.0, edge);
        painter.text(place, axis.names, words, font.clone(), p.muted);
    }
    let bins = (plot.width() / 3.0).max(1.0) as usize;
    let line: Vec<_> = means(&run.points, bins, value)
        .map(|(step, mean)| pos2(x(step), y(mean.clamp(0.0, axis.high))))
        .collect();
    painter.add(Shape::line(line, Stroke::new(2.0, colour)));
    for (at, align) in [
        (plot.left(), Align2::LEFT_BOTTOM),
        (plot.right(), Align2::RIGHT_BOTTOM),
    ] {
        let step = if align == Align2::LEFT_BOTTOM {
            0
        } else {
            last
        };
        let words = format!("step {}", words::count(usize::try_from(step).unwrap_or(0)));
        painter.text(pos2(at, rect.bottom()), align, words, font.clone(), p.muted);
    }
    let label = format!(
        "{}: curve of {}",
        axis.name,
        words::counted(run.points.len(), "step")
    );
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &label));
}

/// The mean of each of at most so many parts, at its last step.
fn means(
    points: &[Point],
    bins: usize,
    value: impl Fn(&Point) -> f64,
) -> impl Iterator<Item = (u64, f64)> {
    let each = points.len().div_ceil(bins.max(1)).max(1);
    points.chunks(each).filter_map(move |some| {
        let finite = some.iter().map(&value).filter(|v| v.is_finite());
        let (sum, count) = finite.fold((0.0, 0), |(sum, count), v| (sum + v, count + 1));
        let last = some.last()?;
        (count > 0).then(|| (last.step, sum / f64::from(count)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_runs_are_drawn_by_means() {
        let point = |step: u64| Point {
            step,
            exact: (step % 2) as f64,
            loss: f64::NAN,
        };
        let points: Vec<Point> = (1..=1000).map(point).collect();
        let drawn: Vec<_> = means(&points, 100, |p| p.exact).collect();
        assert_eq!(drawn.len(), 100);
        assert_eq!(drawn[99], (1000, 0.5));
        assert_eq!(means(&points, 100, |p| p.loss).count(), 0);
    }
}
