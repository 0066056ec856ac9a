//! An answer's words with the ground of each token coloured by its surprisal.

use eframe::egui::{
    Color32, CornerRadius, CursorIcon, Id, Rect, Role, Sense, Stroke, StrokeKind, TextStyle, Ui,
    WidgetInfo,
    text::{LayoutJob, TextFormat},
    vec2,
};

use crate::engine::Answered;
use crate::state::ask::view_name;
use crate::theme::Theme;

/// A token of this surprisal is shaded in full.
pub const FULL_NATS: f64 = 5.0;
/// From one line to the next.
const LINE: f32 = 23.0;

/// Draws them; the one that was clicked. `id` is the answer's own.
pub fn show(ui: &mut Ui, id: Id, answer: &Answered, picked: Option<usize>) -> Option<usize> {
    let theme = Theme::of(ui);
    let (text, owners) = text_of(answer);
    let format = TextFormat {
        line_height: Some(LINE),
        ..TextFormat::simple(TextStyle::Body.resolve(ui.style()), theme.palette.ink)
    };
    let mut job = LayoutJob::single_section(text, format);
    job.wrap.max_width = ui.available_width();
    let galley = ui.painter().layout_job(job);
    let (area, _) = ui.allocate_exact_size(galley.size(), Sense::hover());
    let mut places: Vec<(usize, Rect)> = Vec::new();
    let mut first = 0;
    for row in &galley.rows {
        for (glyph, &token) in row.glyphs.iter().zip(&owners[first.min(owners.len())..]) {
            let left = area.min.x + row.pos.x + glyph.pos.x;
            let top = area.min.y + row.pos.y + 2.0;
            let place = Rect::from_min_size(
                eframe::egui::pos2(left, top),
                vec2(glyph.advance_width, LINE - 4.0),
            );
            match places.last_mut() {
                Some((of, rect)) if *of == token && rect.top() == place.top() => {
                    *rect = rect.union(place);
                }
                _ => places.push((token, place)),
            }
        }
        first += row.char_count_including_newline().0;
    }
    let mut clicked = None;
    for (at, (token, place)) in places.iter().enumerate() {
        let surprisal = -answer.logprobs.get(*token).copied().unwrap_or(0.0);
        let ground = place.with_max_x(place.max.x - 0.5);
        let round = CornerRadius::same(3);
        ui.painter()
            .rect_filled(ground, round, heat(theme, surprisal));
        if picked == Some(*token) {
            let edge = Stroke::new(1.5, theme.palette.accent);
            ui.painter()
                .rect_stroke(ground, round, edge, StrokeKind::Outside);
        }
        let response = ui.interact(*place, id.with(at), Sense::click());
        response.widget_info(|| {
            let piece = answer.pieces.get(*token).map_or("", String::as_str);
            let view = view_name(answer.view);
            let label = format!("{view}: “{}”, {surprisal:.2} nats", piece.trim());
            WidgetInfo::labeled(Role::Button, true, label)
        });
        let response = response
            .on_hover_cursor(CursorIcon::PointingHand)
            .on_hover_text(format!("{surprisal:.2} nats"));
        if response.clicked() {
            clicked = Some(*token);
        }
    }
    ui.painter().galley(area.min, galley, theme.palette.ink);
    clicked
}

/// The answer in one text, and whose token each of its characters is.
fn text_of(answer: &Answered) -> (String, Vec<usize>) {
    let mut text = String::new();
    let mut owners = Vec::new();
    for (token, piece) in answer.pieces.iter().enumerate() {
        for c in piece.chars() {
            // An empty line says no more than a new one, and white space at the start nothing.
            let is_space = c.is_whitespace();
            if is_space && (text.is_empty() || (c == '\n' && text.ends_with('\n'))) {
                continue;
            }
            text.push(c);
            owners.push(token);
        }
    }
    if answer.is_cut()
        && let Some(&last) = owners.last()
    {
        for c in " …".chars() {
            text.push(c);
            owners.push(last);
        }
    }
    (text, owners)
}

/// The ground of a token of this surprisal.
pub fn heat(theme: Theme, surprisal: f64) -> Color32 {
    let part = (surprisal / FULL_NATS).clamp(0.0, 1.0) as f32;
    if part < 0.06 {
        Color32::TRANSPARENT
    } else {
        theme.palette.utility.gamma_multiply(0.55 * part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inscribe::model::generate::Ended;
    use inscribe::write::reader::View;

    #[test]
    fn every_character_knows_its_token() {
        let answer = Answered {
            view: View::Memory,
            text: String::new(),
            ids: vec![1, 2, 3, 4],
            pieces: [" The", " mühle", "\n\n\n", "burnt"]
                .map(str::to_owned)
                .into(),
            logprobs: vec![-0.1; 4],
            seconds: 1.0,
            segment: 0,
            ended: Ended::EndOfText,
        };
        let (text, owners) = text_of(&answer);
        assert_eq!(text, "The mühle\nburnt");
        assert_eq!(owners.len(), text.chars().count());
        assert_eq!((owners[0], owners[4], owners[9], owners[10]), (0, 1, 2, 3));
        let cut = Answered {
            ended: Ended::MaxTokens,
            ..answer
        };
        assert!(text_of(&cut).0.ends_with("burnt …"), "a cut is shown");
    }
}
