//! The pages' pictures, drawn from the run's own numbers.

use eframe::egui::{
    Align2, Color32, CornerRadius, FontId, Painter, Rect, Sense, Shape, Stroke, StrokeKind,
    TextStyle, Ui, pos2, vec2,
};
use inscribe::words;
use inscribe::write::chart;
use inscribe::write::event::{ChunkSteps, StepKind};

use super::lesson::Lesson;
use crate::run::figures::tick_labels;
use crate::theme::{ColourScale, Map, Mark, Theme, draw_mark, hatch, keys, legend, section};

struct Frame {
    rect: Rect,
    painter: Painter,
    font: FontId,
    theme: Theme,
}

/// Room for a picture.
fn frame(ui: &mut Ui, height: f32) -> Frame {
    // Taller where the window is, so that it is seen from the back of a class.
    let tall = (ui.ctx().content_rect().height() / 480.0).clamp(1.0, 2.8);
    let size = vec2(ui.available_width(), height * tall);
    let (rect, _) = ui.allocate_exact_size(size, Sense::hover());
    Frame {
        rect,
        painter: ui.painter_at(rect.expand(2.0)),
        font: TextStyle::Small.resolve(ui.style()),
        theme: Theme::of(ui),
    }
}

impl Frame {
    fn label(&self, x: f32, y: f32, align: Align2, words: impl Into<String>) {
        let muted = self.theme.palette.muted;
        self.painter
            .text(pos2(x, y), align, words.into(), self.font.clone(), muted);
    }

    fn plot(&self) -> Rect {
        Rect::from_min_max(
            self.rect.min + vec2(40.0, 10.0),
            self.rect.max - vec2(4.0, 22.0),
        )
    }

    /// Lines across with their numbers; returns how a value lies.
    fn scale(&self, plot: Rect, low: f64, high: f64) -> impl Fn(f64) -> f32 + use<> {
        let y = move |value: f64| {
            plot.bottom() - plot.height() * ((value - low) / (high - low).max(1e-12)) as f32
        };
        for (tick, label) in tick_labels(low, high, 4) {
            let at = y(tick);
            self.painter.hline(
                plot.x_range(),
                at,
                Stroke::new(1.0, self.theme.palette.grid),
            );
            self.label(plot.left() - 6.0, at, Align2::RIGHT_CENTER, label);
        }
        y
    }
}

/// The document as a bar of chunks.
pub fn document(ui: &mut Ui, lesson: &mut Lesson<'_>) {
    section(ui, "The document", "Each block is a chunk");
    let f = frame(ui, 96.0);
    let p = f.theme.palette;
    let bar = Rect::from_min_max(
        f.rect.min + vec2(0.0, 16.0),
        pos2(f.rect.right(), f.rect.top() + 60.0),
    );
    for cell in &lesson.figures.cells {
        let rect = span(bar, cell.from, cell.to, lesson.figures.tokens);
        let gap = if rect.width() > 4.0 { 1.0 } else { 0.0 };
        f.painter.rect_filled(
            rect.shrink2(vec2(gap, 0.0)),
            CornerRadius::same(3),
            p.selected,
        );
        if rect.width() > 24.0 {
            let number = (cell.chunk + 1).to_string();
            f.painter.text(
                rect.center(),
                Align2::CENTER_CENTER,
                number,
                f.font.clone(),
                p.ink,
            );
        }
    }
    f.label(
        bar.left(),
        bar.bottom() + 8.0,
        Align2::LEFT_TOP,
        "first token",
    );
    let last = format!("token {}", words::count(lesson.figures.tokens));
    f.label(bar.right(), bar.bottom() + 8.0, Align2::RIGHT_TOP, last);
}

fn span(bar: Rect, from: usize, to: usize, tokens: usize) -> Rect {
    let x = |token: usize| bar.left() + bar.width() * token as f32 / tokens.max(1) as f32;
    Rect::from_min_max(pos2(x(from), bar.top()), pos2(x(to), bar.bottom()))
}

/// What each pass sees when it predicts the example's token.
pub fn windows(ui: &mut Ui, lesson: &mut Lesson<'_>) {
    section(ui, "What each pass sees", "before it predicts one token");
    let f = frame(ui, 176.0);
    let p = f.theme.palette;
    let example = lesson.example;
    let start = example.cell.from - example.cell.record.tokens.start;
    let at = example
        .token
        .map_or(example.cell.to, |token| token.at + start);
    let local = match &example.token {
        Some(token) => at - example.local_context(token),
        None => start,
    };
    let tokens = lesson.figures.tokens;
    let mut top = f.rect.top() + 18.0;
    for (name, from, colour) in [("full", start, p.better), ("local", local, p.utility)] {
        let bar = Rect::from_min_max(
            pos2(f.rect.left() + 52.0, top),
            pos2(f.rect.right(), top + 40.0),
        );
        f.painter.rect_filled(bar, CornerRadius::same(4), p.trough);
        let mut seen = span(bar, from, at, tokens);
        seen.min.x = seen.min.x.min(seen.max.x - 3.0);
        f.painter
            .rect_filled(seen, CornerRadius::same(4), colour.gamma_multiply(0.75));
        let x = span(bar, at, at, tokens).left();
        f.painter.vline(
            x,
            bar.top() - 5.0..=bar.bottom() + 5.0,
            Stroke::new(2.0, p.ink),
        );
        f.label(f.rect.left(), bar.center().y, Align2::LEFT_CENTER, name);
        let count = words::counted(at - from, "token");
        let room = seen.width() > 90.0;
        let (place, align) = match room {
            true => (seen.center().x, Align2::CENTER_CENTER),
            false if x + 90.0 < bar.right() => (x + 8.0, Align2::LEFT_CENTER),
            false => (seen.left() - 8.0, Align2::RIGHT_CENTER),
        };
        let ink = if room {
            f.theme.ink_on(colour)
        } else {
            p.muted
        };
        f.painter.text(
            pos2(place, bar.center().y),
            align,
            count,
            f.font.clone(),
            ink,
        );
        if name == "local" {
            let words = format!("token {}", words::count(at + 1));
            let align = if x > bar.center().x {
                Align2::RIGHT_TOP
            } else {
                Align2::LEFT_TOP
            };
            f.label(x, bar.bottom() + 9.0, align, words);
        }
        top += 66.0;
    }
}

/// Each token's difference along the example chunk, and their mean.
pub fn differences(ui: &mut Ui, lesson: &mut Lesson<'_>) {
    let example = lesson.example;
    section(
        ui,
        &example.cell.name,
        "How far apart the two passes are, token by token",
    );
    let most = example
        .differences
        .iter()
        .fold(0.0f32, |m, d| m.max(d.abs()));
    let scale = ColourScale {
        title: "log P_full − log P_local",
        unit: "nats",
        low: -f64::from(most),
        high: f64::from(most),
        map: Map::Diverging,
    };
    legend(ui, &scale);
    let f = frame(ui, 220.0);
    let p = f.theme.palette;
    if most <= 0.0 {
        f.label(
            f.rect.center().x,
            f.rect.center().y,
            Align2::CENTER_CENTER,
            "Both passes agree on every token of this chunk.",
        );
        return;
    }
    let plot = f.plot();
    let y = f.scale(plot, 0.0, f64::from(most));
    let count = example.differences.len().max(1);
    // Tokens that share a pixel are drawn by the one that differs most.
    let bars = (plot.width() as usize / 2).clamp(1, count);
    let width = plot.width() / bars as f32;
    for bar in 0..bars {
        let tokens = &example.differences[bar * count / bars..(bar + 1) * count / bars];
        let Some(most) = tokens
            .iter()
            .copied()
            .max_by(|a, b| a.abs().total_cmp(&b.abs()))
        else {
            continue;
        };
        let x = plot.left() + width * bar as f32;
        let rect = Rect::from_min_max(
            pos2(x, y(f64::from(most.abs()))),
            pos2(x + width.max(1.0), plot.bottom()),
        );
        let colour = if most < 0.0 {
            scale.colour(f.theme, -scale.high * 0.8)
        } else {
            scale.colour(f.theme, scale.high * 0.8)
        };
        f.painter.rect_filled(rect, CornerRadius::ZERO, colour);
    }
    let mean = example.cell.record.utility.unwrap_or(0.0);
    let line = [pos2(plot.left(), y(mean)), pos2(plot.right(), y(mean))];
    f.painter
        .extend(Shape::dashed_line(&line, Stroke::new(1.5, p.ink), 6.0, 4.0));
    let words = format!("mean, the utility: {}", words::number(mean));
    let galley = f.painter.layout_no_wrap(words, f.font.clone(), p.ink);
    let ground = Rect::from_min_size(
        pos2(
            plot.right() - galley.size().x - 10.0,
            y(mean) - galley.size().y - 6.0,
        ),
        galley.size() + vec2(10.0, 4.0),
    );
    f.painter
        .rect_filled(ground, CornerRadius::same(4), p.surface.gamma_multiply(0.9));
    f.painter.galley(ground.min + vec2(5.0, 2.0), galley, p.ink);
    f.label(
        plot.left(),
        plot.bottom() + 6.0,
        Align2::LEFT_TOP,
        format!("token {}", words::count(example.cell.from + 1)),
    );
    f.label(
        plot.right(),
        plot.bottom() + 6.0,
        Align2::RIGHT_TOP,
        format!("token {}", words::count(example.cell.to)),
    );
}

/// Coverage alone.
pub fn coverage(ui: &mut Ui, lesson: &mut Lesson<'_>) {
    section(ui, "Steps of each chunk", "after coverage");
    let p = Theme::of(ui).palette;
    let given = lesson.allocation();
    let most = given.iter().map(|s| s.total()).max().unwrap_or(1).max(1);
    let covered: Vec<ChunkSteps> = given
        .iter()
        .map(|s| ChunkSteps {
            coverage: s.coverage,
            utility: 0,
        })
        .collect();
    keys(ui, &[(Mark::Hatch, p.coverage, "coverage")]);
    bars(ui, lesson, &covered, most);
}

/// The allocation at the chosen temperature.
pub fn allocation(ui: &mut Ui, lesson: &mut Lesson<'_>) {
    section(
        ui,
        "Steps of each chunk",
        "Move the temperature and see where they go",
    );
    let p = Theme::of(ui).palette;
    keys(
        ui,
        &[
            (Mark::Hatch, p.coverage, "coverage"),
            (Mark::Fill, p.utility, "by utility"),
        ],
    );
    let steps = lesson.allocation();
    let most = steps.iter().map(|s| s.total()).max().unwrap_or(1).max(1);
    bars(ui, lesson, &steps, most);
}

fn bars(ui: &mut Ui, lesson: &Lesson<'_>, steps: &[ChunkSteps], most: u32) {
    let f = frame(ui, 200.0);
    let p = f.theme.palette;
    let plot = f.plot();
    let y = |steps: u32| plot.bottom() - (plot.height() - 14.0) * steps as f32 / most as f32;
    for tick in chart::whole_ticks(0, most as usize, 4) {
        let at = y(tick as u32);
        f.painter
            .hline(plot.x_range(), at, Stroke::new(1.0, p.grid));
        f.label(
            plot.left() - 6.0,
            at,
            Align2::RIGHT_CENTER,
            words::count(tick),
        );
    }
    let width = plot.width() / steps.len().max(1) as f32;
    let gap = (width * 0.14).min(8.0);
    for (at, steps) in steps.iter().enumerate() {
        let left = plot.left() + width * at as f32;
        let bar = |from: u32, to: u32| {
            Rect::from_min_max(pos2(left + gap, y(to)), pos2(left + width - gap, y(from)))
        };
        hatch(&f.painter, bar(0, steps.coverage), p.coverage);
        f.painter.rect_filled(
            bar(steps.coverage, steps.total()),
            CornerRadius::same(1),
            p.utility,
        );
        let own = at == lesson.example.cell.chunk;
        if own {
            let around = bar(0, steps.total()).expand(2.0);
            f.painter.rect_stroke(
                around,
                CornerRadius::same(3),
                Stroke::new(2.0, p.ink),
                StrokeKind::Middle,
            );
        }
        let middle = left + width / 2.0;
        if width > 18.0 {
            f.label(
                middle,
                y(steps.total()) - 4.0,
                Align2::CENTER_BOTTOM,
                steps.total().to_string(),
            );
        }
        if width > 18.0 || own {
            f.label(
                middle,
                plot.bottom() + 6.0,
                Align2::CENTER_TOP,
                (at + 1).to_string(),
            );
        }
    }
}

/// The loss of the example's steps, the explained one marked.
pub fn course(ui: &mut Ui, lesson: &mut Lesson<'_>) {
    section(
        ui,
        &format!("Steps of {}", lesson.example.cell.name.to_lowercase()),
        "Loss before each, in nats a token; every step draws other spans",
    );
    let p = Theme::of(ui).palette;
    keys(
        ui,
        &[
            (Mark::Diamond, p.coverage, "coverage step"),
            (Mark::Dot, p.utility, "utility step"),
        ],
    );
    let f = frame(ui, 220.0);
    let own = lesson
        .figures
        .steps_of
        .get(lesson.example.place)
        .map_or(&[][..], Vec::as_slice);
    let steps: Vec<_> = own
        .iter()
        .filter_map(|&at| lesson.record.steps.get(at))
        .collect();
    let Some((low, high)) = chart::range(steps.iter().map(|s| s.step.loss)) else {
        f.label(
            f.rect.center().x,
            f.rect.center().y,
            Align2::CENTER_CENTER,
            "No step of this chunk yet",
        );
        return;
    };
    let margin = ((high - low) * 0.15).max(0.1);
    let plot = f.plot();
    let y = f.scale(plot, low - margin, high + margin);
    let x = |at: usize| match steps.len() {
        1 => plot.center().x,
        n => plot.left() + 12.0 + (plot.width() - 24.0) * at as f32 / (n - 1) as f32,
    };
    let line = steps
        .iter()
        .enumerate()
        .map(|(at, s)| pos2(x(at), y(s.step.loss)));
    f.painter
        .add(Shape::line(line.collect(), Stroke::new(1.0, p.faint)));
    let explained = lesson.example.step.as_ref().map(|s| s.step);
    for (at, step) in steps.iter().enumerate() {
        let place = pos2(x(at), y(step.step.loss));
        let (mark, colour): (Mark, Color32) = match step.step.kind {
            StepKind::Coverage => (Mark::Diamond, p.coverage),
            StepKind::Utility => (Mark::Dot, p.utility),
        };
        draw_mark(&f.painter, mark, place, 5.0, colour);
        if explained == Some(step.step.step) {
            f.painter.circle_stroke(place, 9.0, Stroke::new(2.0, p.ink));
        }
        if steps.len() < 12 || at == 0 || at + 1 == steps.len() {
            f.label(
                x(at),
                plot.bottom() + 6.0,
                Align2::CENTER_TOP,
                format!("{}", step.step.step),
            );
        }
    }
}

/// Every chunk's loss before and after.
pub fn changes(ui: &mut Ui, lesson: &mut Lesson<'_>) {
    section(ui, "Loss of each chunk", "In nats a token");
    let p = Theme::of(ui).palette;
    keys(
        ui,
        &[
            (Mark::Ring, p.muted, "before"),
            (Mark::Dot, p.better, "after"),
        ],
    );
    let f = frame(ui, 240.0);
    let cells = &lesson.figures.cells;
    let all = cells
        .iter()
        .flat_map(|c| [c.record.loss_before, c.record.loss_after]);
    let Some((low, high)) = chart::range(all.flatten()) else {
        f.label(
            f.rect.center().x,
            f.rect.center().y,
            Align2::CENTER_CENTER,
            "Not measured yet",
        );
        return;
    };
    let margin = ((high - low) * 0.1).max(0.05);
    let plot = f.plot();
    let y = f.scale(plot, low - margin, high + margin);
    let width = plot.width() / cells.len().max(1) as f32;
    for (at, cell) in cells.iter().enumerate() {
        let x = plot.left() + width * (at as f32 + 0.5);
        let colour = match cell.gain() {
            Some(gain) if gain < 0.0 => p.worse,
            _ => p.better,
        };
        if let (Some(before), Some(after)) = (cell.record.loss_before, cell.record.loss_after) {
            let line = [pos2(x, y(before)), pos2(x, y(after))];
            f.painter.line_segment(line, Stroke::new(2.0, colour));
        }
        let reach = (width / 3.0).clamp(1.5, 5.0);
        if let Some(before) = cell.record.loss_before {
            draw_mark(&f.painter, Mark::Ring, pos2(x, y(before)), reach, p.muted);
        }
        if let Some(after) = cell.record.loss_after {
            draw_mark(&f.painter, Mark::Dot, pos2(x, y(after)), reach, colour);
        }
        if width > 18.0 {
            f.label(
                x,
                plot.bottom() + 6.0,
                Align2::CENTER_TOP,
                (cell.chunk + 1).to_string(),
            );
        }
    }
}
