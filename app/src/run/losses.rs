//! What every step found: how far the loss of its tokens is below what it was before any step, with
//! different marks for coverage and utility steps, and the smoothed course. Losses of different
//! chunks lie far apart, so that by themselves they show which chunk was drawn and not what was
//! learned.

use eframe::egui::{Align2, Color32, Rangef, RichText, Role, TextStyle, Ui, WidgetInfo, vec2};
use egui_plot::{
    AxisHints, HLine, HoverPosition, Line, LineStyle, MarkerShape, Plot, PlotPoint, PlotPoints,
    Points, Text, VLine,
};
use inscribe::words;
use inscribe::write::chart;
use inscribe::write::event::StepKind;
use inscribe::write::record::RunRecord;

use super::figures::{Figures, StepPoints, tick_label};
use crate::theme::{Mark, Theme, empty, keys, text};
use crate::vocabulary::Selection;

const COVERAGE: &str = "coverage";
/// Steps beyond coverage, where no rule is known that shared them out.
const RULED: &str = "by utility";

/// What the marks of the plot mean; `rule` says how steps beyond coverage were shared out.
pub fn loss_keys(ui: &mut Ui, rule: Option<&str>, other: Option<&str>) {
    let p = Theme::of(ui).palette;
    let mut entries = vec![
        (Mark::Diamond, p.coverage, COVERAGE),
        (Mark::Dot, p.utility, rule.unwrap_or(RULED)),
        (Mark::Line, p.ink, "smoothed"),
    ];
    if let Some(other) = other {
        entries.push((Mark::Dashes, p.accent, other));
    }
    keys(ui, &entries);
}

/// The heading of the plot with what its marks mean: on one line where there is room.
pub fn heading(ui: &mut Ui, figures: &Figures) {
    let words = match figures.relative {
        true => "Each step’s words, against before any step",
        false => "Loss of each step",
    };
    let tooltip = "The loss of the words that a step learns from, less the loss of the same words \
                   before any step, in nats a token. On the line nothing is learned yet; the \
                   further below, the more.";
    ui.spacing_mut().item_spacing.y = 2.0;
    ui.spacing_mut().interact_size.y = 18.0;
    ui.horizontal(|ui| {
        let title = ui.label(text::strong("Learning curve"));
        title.on_hover_text(tooltip);
        ui.label(text::caption(words)).on_hover_text(tooltip);
    });
    loss_keys(ui, figures.rule, None);
}

pub struct LossPlot<'a> {
    id: &'a str,
    height: f32,
    /// Lowest loss, highest loss and number of the last step, where axes are shared with another
    /// plot.
    bounds: Option<(f64, f64, usize)>,
    /// A second run, drawn as its smoothed course alone.
    other: Option<&'a Figures>,
}

impl<'a> LossPlot<'a> {
    pub fn new(id: &'a str, height: f32) -> LossPlot<'a> {
        LossPlot {
            id,
            height: height.max(64.0),
            bounds: None,
            other: None,
        }
    }

    pub fn bounds(mut self, bounds: (f64, f64, usize)) -> Self {
        self.bounds = Some(bounds);
        self
    }

    pub fn other(mut self, figures: &'a Figures) -> Self {
        self.other = Some(figures);
        self
    }

    pub fn show(self, ui: &mut Ui, figures: &Figures, record: &RunRecord, selection: &Selection) {
        if record.steps.is_empty() && self.other.is_none() {
            empty(
                ui,
                "No step yet",
                "Each gradient step appears here as it is taken.",
            );
            return;
        }
        let p = Theme::of(ui).palette;
        let chosen = figures.selected(selection);
        let fade = |colour: Color32| {
            if chosen.is_some() {
                colour.gamma_multiply(0.6)
            } else {
                colour
            }
        };
        let radius = match record.steps.len() {
            0..200 => 4.0,
            200..800 => 3.0,
            _ => 2.2,
        };
        let marks = [
            points(COVERAGE, &figures.coverage, MarkerShape::Diamond)
                .color(fade(p.coverage))
                .filled(false)
                .radius(radius + 0.5),
            points(
                figures.rule.unwrap_or(RULED),
                &figures.by_utility,
                MarkerShape::Circle,
            )
            .color(fade(p.utility))
            .radius(radius - 0.5),
        ];
        let shown = self.plot(ui, figures, record).show(ui, |plot| {
            if figures.relative {
                let zero = HLine::new("", 0.0).color(p.muted).width(1.5);
                plot.hline(zero.allow_hover(false));
            }
            for marks in marks {
                plot.points(marks);
            }
            let line = PlotPoints::Borrowed(&figures.smoothed);
            let ink = if chosen.is_some() { p.muted } else { p.ink };
            plot.line(Line::new("", line).color(ink).width(2.0).allow_hover(false));
            if let Some(other) = self.other {
                let line = PlotPoints::Borrowed(&other.smoothed);
                let style = LineStyle::dashed_dense();
                plot.line(
                    Line::new("", line)
                        .color(p.accent)
                        .width(1.5)
                        .style(style)
                        .allow_hover(false),
                );
            }
            if let Some(place) = chosen {
                for marks in own_points(figures, record, place, radius, p.coverage, p.utility) {
                    plot.points(marks);
                }
            }
            if let Some(saved) = record.checkpointed.filter(|&s| s < record.steps.len()) {
                let line = VLine::new("", saved as f64).color(p.faint).width(1.0);
                plot.vline(line.style(LineStyle::dotted_dense()).allow_hover(false));
                if figures.relative {
                    // On the zero line, which is in sight whatever the scale.
                    let words = RichText::new(" saved up to here").size(11.0);
                    let at = PlotPoint::new(saved as f64, 0.0);
                    let words = Text::new("", at, words).color(p.muted);
                    plot.text(words.anchor(Align2::LEFT_BOTTOM).allow_hover(false));
                }
            }
        });
        let label = format!("Curve of {}", words::counted(record.steps.len(), "step"));
        let info = || WidgetInfo::labeled(Role::Image, true, label.as_str());
        shown.response.widget_info(info);
    }

    fn plot<'b>(&self, ui: &Ui, figures: &'b Figures, record: &'b RunRecord) -> Plot<'b> {
        let p = Theme::of(ui).palette;
        let all = record.steps_to_take().max(2) as f64;
        let font = TextStyle::Small.resolve(ui.style());
        let axis =
            |axis: AxisHints<'b>| axis.tick_label_font(font.clone()).tick_label_color(p.muted);
        let x_axis = AxisHints::new_x().label_spacing(Rangef::new(20.0, 30.0));
        let x_axis = axis(x_axis).formatter(|mark, _| {
            let whole = mark.value.fract().abs() < 1e-6 && mark.value > 0.0;
            if whole {
                words::count(mark.value as usize)
            } else {
                String::new()
            }
        });
        let y_axis = AxisHints::new_y().label_spacing(Rangef::new(8.0, 14.0));
        let y_axis = axis(y_axis)
            .min_thickness(36.0)
            .formatter(|mark, _| tick_label(mark.value, mark.step_size));
        // The first steps change next to nothing, and are to look so.
        let (low, high) = if figures.relative {
            (-0.1, 0.02)
        } else {
            (figures.lowest(), figures.lowest())
        };
        let mut plot = Plot::new(self.id)
            .height(self.height)
            .show_background(false)
            .show_crosshair(false)
            .allow_scroll(false)
            .allow_boxed_zoom(false)
            .grid_color(p.grid)
            .grid_fade(0.0)
            // Half a mark's room at every edge.
            .set_margin_fraction(vec2(0.01, 0.08))
            .include_x(0.5)
            .include_x(all + 0.5)
            .include_y(low)
            .include_y(high)
            .custom_x_axes(vec![x_axis])
            .custom_y_axes(vec![y_axis])
            .x_grid_spacer(|input| marks(input.bounds, 10, true))
            .y_grid_spacer(|input| marks(input.bounds, 5, false))
            .label_formatter(move |at| hover_text(at, figures, record));
        if let Some((low, high, last)) = self.bounds {
            let margin = (high - low).max(0.1) * 0.08;
            plot = plot
                .default_x_bounds(0.3, last as f64 + 0.7)
                .default_y_bounds(low - margin, high + margin);
        }
        plot
    }
}

/// Round places for grid lines.
fn marks(bounds: (f64, f64), most: usize, whole: bool) -> Vec<egui_plot::GridMark> {
    let ticks = chart::ticks(bounds.0, bounds.1, most);
    let step = match ticks.as_slice() {
        [a, b, ..] => b - a,
        _ => 1.0,
    };
    let kept = ticks
        .into_iter()
        // Steps are counted from one.
        .filter(|t| !whole || (t.fract().abs() < 1e-6 && *t > 0.5));
    kept.map(|value| egui_plot::GridMark {
        value,
        step_size: step,
    })
    .collect()
}

fn points<'a>(name: &str, of: &'a StepPoints, shape: MarkerShape) -> Points<'a> {
    Points::new(name, PlotPoints::Borrowed(&of.points)).shape(shape)
}

/// The steps of the chosen chunk, drawn over the others.
fn own_points(
    figures: &Figures,
    record: &RunRecord,
    place: usize,
    radius: f32,
    coverage: Color32,
    utility: Color32,
) -> [Points<'static>; 2] {
    let steps = figures.steps_of.get(place).map_or(&[][..], Vec::as_slice);
    let of = |kind: StepKind| -> Vec<PlotPoint> {
        let steps = steps
            .iter()
            .filter_map(|&at| Some((at, record.steps.get(at)?)));
        let own: Vec<_> = steps.filter(|(_, s)| s.step.kind == kind).collect();
        let own = own.iter();
        own.map(|&(at, s)| PlotPoint::new(s.step.step as f64, figures.value(at)))
            .collect()
    };
    let make = |kind, shape, colour| {
        Points::new("", PlotPoints::Owned(of(kind)))
            .shape(shape)
            .color(colour)
            .filled(kind == StepKind::Utility)
            .radius(radius + 2.0)
            .allow_hover(false)
    };
    [
        make(StepKind::Coverage, MarkerShape::Diamond, coverage),
        make(StepKind::Utility, MarkerShape::Circle, utility),
    ]
}

fn hover_text(at: &HoverPosition<'_>, figures: &Figures, record: &RunRecord) -> Option<String> {
    let HoverPosition::NearDataPoint {
        plot_name, index, ..
    } = at
    else {
        return None;
    };
    let of = match *plot_name {
        COVERAGE => &figures.coverage,
        "" => return None,
        _ => &figures.by_utility,
    };
    let at = *of.steps.get(*index)?;
    let step = &record.steps.get(at)?.step;
    let place = step
        .chunk
        .and_then(|chunk| figures.place(step.segment, chunk));
    let name = match place.and_then(|place| figures.cells.get(place)) {
        Some(cell) => cell.name.clone(),
        None => "Whole document".to_owned(),
    };
    let loss = match step.before {
        Some(before) => format!(
            "loss {} → {} ({})",
            words::nats(before),
            words::nats(step.loss),
            words::nats_change(before, step.loss)
        ),
        None => format!("loss {}", words::nats(step.loss)),
    };
    Some(format!(
        "Step {} · {name} · {plot_name}\n{loss} nats a token\ngradient norm {}, {}",
        words::count(step.step),
        words::number(step.grad_norm),
        words::duration(step.seconds),
    ))
}
