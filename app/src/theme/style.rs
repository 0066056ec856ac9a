//! egui's own widgets in the window's fonts and colours.

use std::sync::Arc;

use eframe::egui::{
    self, CornerRadius, FontData, FontDefinitions, FontFamily, FontId, Margin, Shadow, Stroke,
    Style, TextStyle, Visuals, style::HandleShape, style::WidgetVisuals, vec2,
};

use super::{Theme, space, text};

const REGULAR: &str = "Inter";
const SEMIBOLD: &str = "Inter SemiBold";

/// Gives a window its fonts and both themes. Called once, before the first frame.
pub fn install(ctx: &egui::Context) {
    ctx.set_fonts(fonts());
    ctx.set_style_of(egui::Theme::Light, style(Theme::LIGHT));
    ctx.set_style_of(egui::Theme::Dark, style(Theme::DARK));
}

/// Inter first; egui's own fonts for what it lacks (other scripts, icons).
fn fonts() -> FontDefinitions {
    let mut fonts = FontDefinitions::default();
    let files: [(&str, &'static [u8]); 2] = [
        (
            REGULAR,
            include_bytes!("../../../assets/fonts/Inter-Regular.ttf"),
        ),
        (
            SEMIBOLD,
            include_bytes!("../../../assets/fonts/Inter-SemiBold.ttf"),
        ),
    ];
    for (name, bytes) in files {
        let data = Arc::new(FontData::from_static(bytes));
        fonts.font_data.insert(name.to_owned(), data);
    }
    let monospace = fonts.families.get(&FontFamily::Monospace).cloned();
    let fallback = fonts
        .families
        .entry(FontFamily::Proportional)
        .or_default()
        .clone();
    let family = |first: &str| {
        let own = [first.to_owned(), REGULAR.to_owned()];
        let others = fallback.iter().chain(monospace.iter().flatten()).cloned();
        let mut names: Vec<String> = Vec::new();
        for name in own.into_iter().chain(others) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    };
    let (regular, semibold) = (family(REGULAR), family(SEMIBOLD));
    fonts.families.insert(FontFamily::Proportional, regular);
    fonts.families.insert(strong_family(), semibold);
    fonts
}

fn strong_family() -> FontFamily {
    FontFamily::Name(SEMIBOLD.into())
}

fn style(theme: Theme) -> Style {
    let mut style = Style {
        visuals: visuals(theme),
        ..Style::default()
    };
    let regular = |size| FontId::new(size, FontFamily::Proportional);
    let strong = |size| FontId::new(size, strong_family());
    style.text_styles = [
        (TextStyle::Small, regular(12.0)),
        (TextStyle::Body, regular(14.0)),
        (TextStyle::Button, regular(14.0)),
        (
            TextStyle::Monospace,
            FontId::new(13.0, FontFamily::Monospace),
        ),
        (TextStyle::Heading, strong(16.0)),
        (text::strong_style(), strong(14.0)),
        (text::strong_small_style(), strong(12.0)),
        (text::number_style(), strong(20.0)),
        (text::title_style(), strong(22.0)),
        (text::display_style(), strong(30.0)),
    ]
    .into();
    let spacing = &mut style.spacing;
    spacing.item_spacing = vec2(space::S, space::S);
    spacing.button_padding = vec2(space::M, 6.0);
    spacing.interact_size = vec2(40.0, 30.0);
    spacing.window_margin = Margin::same(16);
    spacing.menu_margin = Margin::same(8);
    spacing.slider_width = 180.0;
    spacing.slider_rail_height = 4.0;
    spacing.combo_width = 140.0;
    spacing.icon_width = 18.0;
    spacing.icon_width_inner = 10.0;
    spacing.icon_spacing = space::S;
    spacing.tooltip_width = 360.0;
    spacing.scroll = egui::style::ScrollStyle {
        bar_width: 8.0,
        ..egui::style::ScrollStyle::solid()
    };
    style.interaction.selectable_labels = false;
    style.interaction.tooltip_delay = 0.3;
    style
}

fn visuals(theme: Theme) -> Visuals {
    let p = theme.palette;
    let mut visuals = if theme.dark {
        Visuals::dark()
    } else {
        Visuals::light()
    };
    let widget = |fill, edge, ink| WidgetVisuals {
        bg_fill: fill,
        weak_bg_fill: fill,
        bg_stroke: Stroke::new(1.0, edge),
        corner_radius: CornerRadius::same(space::RADIUS_S as u8),
        fg_stroke: Stroke::new(1.0, ink),
        expansion: 0.0,
    };
    let hovered = if theme.dark { p.border } else { p.trough };
    visuals.widgets.noninteractive = widget(p.surface, p.border, p.ink);
    visuals.widgets.inactive = widget(p.raised, p.border, p.ink);
    visuals.widgets.hovered = widget(hovered, p.faint, p.ink);
    visuals.widgets.active = widget(p.selected, p.accent, p.ink);
    visuals.widgets.open = widget(p.raised, p.faint, p.ink);
    // Sliders and switches draw their rails in `bg_fill`.
    visuals.widgets.inactive.bg_fill = p.border;
    visuals.widgets.hovered.bg_fill = p.faint;
    visuals.weak_text_color = Some(p.muted);
    visuals.selection.bg_fill = p.selected;
    visuals.selection.stroke = Stroke::new(1.5, p.accent);
    visuals.hyperlink_color = p.accent;
    visuals.faint_bg_color = p.raised;
    visuals.extreme_bg_color = p.surface;
    visuals.text_edit_bg_color = Some(if theme.dark { p.background } else { p.surface });
    visuals.code_bg_color = p.trough;
    visuals.warn_fg_color = p.warning;
    visuals.error_fg_color = p.danger;
    visuals.window_fill = p.surface;
    visuals.panel_fill = p.background;
    visuals.window_stroke = Stroke::new(1.0, p.border);
    visuals.window_corner_radius = CornerRadius::same(space::RADIUS as u8);
    visuals.menu_corner_radius = CornerRadius::same(space::S as u8);
    visuals.window_shadow = shadow(theme, 8, 28);
    visuals.popup_shadow = shadow(theme, 4, 16);
    visuals.slider_trailing_fill = true;
    visuals.handle_shape = HandleShape::Circle;
    visuals.indent_has_left_vline = false;
    visuals.text_cursor.stroke = Stroke::new(2.0, p.accent);
    visuals
}

fn shadow(theme: Theme, down: i8, blur: u8) -> Shadow {
    Shadow {
        offset: [0, down],
        blur,
        spread: 0,
        color: theme.palette.shadow,
    }
}
