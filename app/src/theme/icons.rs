//! Icons drawn as shapes: no font has to have them.

use eframe::egui::{
    Color32, CornerRadius, CursorIcon, Painter, Rect, Response, Role, Sense, Shape, Stroke,
    StrokeKind, Ui, WidgetInfo, pos2, vec2,
};

use super::{Theme, space};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icon {
    Play,
    Pause,
    ToStart,
    StepBack,
    StepOn,
    Left,
    Right,
    Close,
    Plus,
    /// A die that shows five.
    Dice,
}

/// A square button with an icon; `label` names it for screen readers, `hint` explains it.
pub fn icon_button(ui: &mut Ui, icon: Icon, on: bool, label: &str, hint: &str) -> Response {
    let p = Theme::of(ui).palette;
    let sense = if on { Sense::click() } else { Sense::hover() };
    let (rect, response) = ui.allocate_exact_size(vec2(34.0, 30.0), sense);
    response.widget_info(|| WidgetInfo::labeled(Role::Button, on, label));
    let visuals = *ui.style().interact(&response);
    let painter = ui.painter();
    let round = CornerRadius::same(space::RADIUS_S as u8);
    let edge = if response.has_focus() {
        Stroke::new(2.0, p.accent)
    } else {
        visuals.bg_stroke
    };
    painter.rect(rect, round, visuals.weak_bg_fill, edge, StrokeKind::Inside);
    draw(painter, icon, rect, if on { p.ink } else { p.faint });
    if on {
        response
            .on_hover_cursor(CursorIcon::PointingHand)
            .on_hover_text(hint)
    } else {
        response
    }
}

fn draw(painter: &Painter, icon: Icon, rect: Rect, ink: Color32) {
    let c = rect.center();
    // A triangle of this width with its middle at `x`, pointing right, or left if negative.
    let triangle = |x: f32, width: f32| {
        let (back, tip, half) = (c.x + x - width / 2.0, c.x + x + width / 2.0, 6.0);
        let corners = vec![
            pos2(back, c.y - half),
            pos2(tip, c.y),
            pos2(back, c.y + half),
        ];
        painter.add(Shape::convex_polygon(corners, ink, Stroke::NONE));
    };
    let bar = |x: f32, width: f32| {
        let bar = Rect::from_center_size(pos2(c.x + x, c.y), vec2(width, 12.0));
        painter.rect_filled(bar, CornerRadius::same(1), ink);
    };
    match icon {
        Icon::Play => triangle(0.5, 10.0),
        Icon::Pause => {
            bar(-3.0, 3.5);
            bar(3.0, 3.5);
        }
        Icon::ToStart => {
            bar(-5.5, 2.0);
            triangle(1.5, -9.0);
        }
        Icon::StepBack => {
            triangle(-2.0, -9.0);
            bar(5.0, 2.0);
        }
        Icon::StepOn => {
            bar(-5.0, 2.0);
            triangle(2.0, 9.0);
        }
        Icon::Close => {
            for way in [-1.0, 1.0] {
                let arm = vec2(4.5, 4.5 * way);
                painter.line_segment([c - arm, c + arm], Stroke::new(1.8, ink));
            }
        }
        Icon::Plus => {
            for arm in [vec2(5.0, 0.0), vec2(0.0, 5.0)] {
                painter.line_segment([c - arm, c + arm], Stroke::new(1.8, ink));
            }
        }
        Icon::Dice => {
            let face = Rect::from_center_size(c, vec2(15.0, 15.0));
            let edge = Stroke::new(1.5, ink);
            painter.rect_stroke(face, CornerRadius::same(3), edge, StrokeKind::Middle);
            for spot in [
                (0.0, 0.0),
                (-3.5, -3.5),
                (3.5, -3.5),
                (-3.5, 3.5),
                (3.5, 3.5),
            ] {
                painter.circle_filled(c + vec2(spot.0, spot.1), 1.4, ink);
            }
        }
        Icon::Left | Icon::Right => {
            let way = if icon == Icon::Left { -1.0 } else { 1.0 };
            let corners = [
                pos2(c.x - 2.5 * way, c.y - 5.0),
                pos2(c.x + 2.5 * way, c.y),
                pos2(c.x - 2.5 * way, c.y + 5.0),
            ];
            painter.add(Shape::line(corners.to_vec(), Stroke::new(2.0, ink)));
        }
    }
}
