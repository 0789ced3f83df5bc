//! Pictures of products, drawn from their names: a silhouette of the thing in the colour that the name gives. Pure.

/// How a shape is filled.
#[derive(Clone, Copy)]
enum Tone {
    Body,
    Shade,
    Light,
}

/// A silhouette on a field of 100 by 100.
type Silhouette = &'static [(Tone, &'static str)];

/// A shape of a picture, ready for an SVG `path`.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) fill: String,
    pub(super) path: &'static str,
}

/// A picture of a product.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) background: String,
    pub(super) shapes: Vec<Shape>,
}

use Tone::{Body, Light, Shade};

const MUG: Silhouette = &[
    (Shade, "M64 42h8a12 12 0 0 1 0 24h-8v-7h7a5 5 0 0 0 0-10h-7z"),
    (Body, "M28 34h38v34a10 10 0 0 1-10 10H38a10 10 0 0 1-10-10z"),
    (Light, "M34 40h5v28h-5z"),
];
const POT: Silhouette = &[
    (Shade, "M70 44c12-2 14 18 1 22l-1-6c6-3 6-10 0-10zM46 22h8v7h-8z"),
    (Body, "M32 30h36l6 42a8 8 0 0 1-8 8H34a8 8 0 0 1-8-8l2-16-12-14 5-4 9 6z"),
    (Light, "M38 38h5l-2 32h-5z"),
];
const PAN: Silhouette = &[
    (Shade, "M66 47h26a4 4 0 0 1 0 9H66z"),
    (Body, "M12 44h56v14a14 14 0 0 1-14 14H26a14 14 0 0 1-14-14z"),
    (Light, "M18 50h44v4H18z"),
];
const LAMP: Silhouette =
    &[(Shade, "M47 52h6v26h-6zM32 78h36v6H32z"), (Body, "M38 18h24l14 36H24z"), (Light, "M41 23h5l-8 26h-6z")];
const CHAIR: Silhouette = &[
    (Shade, "M28 66h6v20h-6zM66 66h6v20h-6z"),
    (Body, "M34 16h32a6 6 0 0 1 6 6v28H28V22a6 6 0 0 1 6-6zM22 52h56v14H22z"),
    (Light, "M36 24h6v22h-6z"),
];
const TABLE: Silhouette =
    &[(Shade, "M22 46h6v38h-6zM72 46h6v38h-6z"), (Body, "M12 34h76v12H12zM34 46h32v12H34z"), (Light, "M46 50h8v4h-8z")];
const CABINET: Silhouette = &[
    (Shade, "M26 80h6v8h-6zM68 80h6v8h-6z"),
    (Body, "M22 16h56v64H22z"),
    (Light, "M28 22h44v14H28zM28 42h44v14H28zM28 62h44v12H28z"),
];
const CUSHION: Silhouette = &[
    (Shade, "M18 74c20-8 44-8 64 0l3 6c-24-7-46-7-70 0z"),
    (Body, "M20 24c20 6 40 6 60 0 6 18 6 34 0 52-20-6-40-6-60 0-6-18-6-34 0-52z"),
    (Light, "M30 34c-3 11-3 21 0 32l4-1c-3-10-3-20 0-30z"),
];
const TOWEL: Silhouette =
    &[(Shade, "M14 22h72v6H14z"), (Body, "M24 26h52v56H24z"), (Light, "M24 62h52v4H24zM24 70h52v4H24z")];
const PLANT: Silhouette = &[
    (Shade, "M47 30h6v28h-6z"),
    (Shade, "M50 36c2-14 12-20 24-18 0 14-10 22-24 18z"),
    (Shade, "M50 48c-2-12-11-17-22-15 1 12 10 18 22 15z"),
    (Body, "M28 56h44l-6 30H34z"),
    (Light, "M28 56h44l-1.500 7h-41z"),
];
const CABLE: Silhouette = &[
    (Shade, "M47 54h6v14c0 14 22 14 22 0V40h6v28c0 22-34 22-34 0z"),
    (Body, "M36 28h28v20a8 8 0 0 1-8 8H44a8 8 0 0 1-8-8z"),
    (Light, "M42 12h5v16h-5zM53 12h5v16h-5z"),
];
const TOOL: Silhouette = &[
    (Shade, "M46 12h8v44h-8z"),
    (Body, "M34 50h32v14c0 14-8 22-16 26-8-4-16-12-16-26z"),
    (Light, "M40 56h5v18c-3-3-5-7-5-12z"),
];
const SHIRT: Silhouette = &[
    (Body, "M36 20c8 7 20 7 28 0l22 14-9 17-9-5v38H32V46l-9 5-9-17z"),
    (Shade, "M36 20c8 7 20 7 28 0l4 3c-10 11-26 11-36 0z"),
    (Light, "M38 44h4v32h-4z"),
];
const TROUSERS: Silhouette =
    &[(Body, "M32 16h36l7 70H57l-7-44-7 44H25z"), (Shade, "M32 16h36l1 8H31z"), (Light, "M36 28h4l-5 50h-4z")];
const HAT: Silhouette =
    &[(Shade, "M50 10a7 7 0 1 1-.1 0z"), (Body, "M24 62c0-26 10-42 26-42s26 16 26 42z"), (Light, "M20 62h60v16H20z")];
const HEADPHONES: Silhouette = &[
    (Shade, "M18 60c0-26 12-40 32-40s32 14 32 40h-8c0-22-9-32-24-32s-24 10-24 32z"),
    (
        Body,
        "M16 54h14a4 4 0 0 1 4 4v20a4 4 0 0 1-4 4h-4a10 10 0 0 1-10-10zM84 54H70a4 4 0 0 0-4 4v20a4 4 0 0 0 4 4h4a10 10 0 0 0 10-10z",
    ),
    (Light, "M22 60h5v16h-5zM73 60h5v16h-5z"),
];
const SPEAKER: Silhouette = &[
    (Body, "M30 14h40a6 6 0 0 1 6 6v60a6 6 0 0 1-6 6H30a6 6 0 0 1-6-6V20a6 6 0 0 1 6-6z"),
    (Shade, "M50 44a17 17 0 1 1-.1 0zM50 20a8 8 0 1 1-.1 0z"),
    (Light, "M50 54a7 7 0 1 1-.1 0z"),
];
const DEVICE: Silhouette = &[
    (Body, "M26 26h48a6 6 0 0 1 6 6v32a6 6 0 0 1-6 6H26a6 6 0 0 1-6-6V32a6 6 0 0 1 6-6z"),
    (Shade, "M20 62h60v8a6 6 0 0 1-6 6H26a6 6 0 0 1-6-6z"),
    (Light, "M28 34h10v8H28zM45 34h10v8H45zM62 34h10v8H62zM28 48h10v8H28zM45 48h27v8H45z"),
];
const BOOK: Silhouette = &[
    (Body, "M26 14h46a4 4 0 0 1 4 4v64a4 4 0 0 1-4 4H26z"),
    (Shade, "M26 14h9v72h-9z"),
    (Light, "M44 28h24v5H44zM44 38h16v5H44z"),
];
const PEN: Silhouette =
    &[(Body, "M66 12 84 30 42 72 24 54z"), (Shade, "M24 54l18 18-24 8z"), (Light, "M64 22l4 4-32 32-4-4z")];
const BLOCKS: Silhouette = &[(Body, "M14 52h34v34H14z"), (Shade, "M52 52h34v34H52z"), (Light, "M33 14h34v34H33z")];
const BALL: Silhouette = &[
    (Body, "M50 16a34 34 0 1 1-.1 0z"),
    (Shade, "M50 38l12 9-5 14H43l-5-14z"),
    (Light, "M32 26c4-3 8-5 12-5v5c-3 0-6 2-9 4z"),
];
const PACK: Silhouette = &[
    (Shade, "M36 24c0-12 28-12 28 0h-6c0-5-16-5-16 0z"),
    (Body, "M30 24h40a8 8 0 0 1 8 8v46a8 8 0 0 1-8 8H30a8 8 0 0 1-8-8V32a8 8 0 0 1 8-8z"),
    (Light, "M32 54h36v22H32zM32 36h36v5H32z"),
];
const TENT: Silhouette = &[(Body, "M50 20 90 82H10z"), (Shade, "M50 20 66 82H34z"), (Light, "M48 12h4v12h-4z")];
const BOTTLE: Silhouette = &[
    (Shade, "M42 12h16v14H42z"),
    (Body, "M42 26h16c0 8 10 8 10 20v36a6 6 0 0 1-6 6H38a6 6 0 0 1-6-6V46c0-12 10-12 10-20z"),
    (Light, "M38 54h24v18H38z"),
];
const TUBE: Silhouette =
    &[(Body, "M30 14h40l-6 56H36z"), (Shade, "M36 70h28v16H36z"), (Light, "M40 30h20l-1 6H41zM41 42h18l-1 5H42z")];
const JAR: Silhouette = &[
    (Shade, "M30 16h40v12H30z"),
    (Body, "M34 28h32c0 6 8 6 8 14v38a6 6 0 0 1-6 6H32a6 6 0 0 1-6-6V42c0-8 8-8 8-14z"),
    (Light, "M32 50h36v20H32z"),
];
const BAG: Silhouette = &[
    (Shade, "M30 16h40v10H30z"),
    (Body, "M30 26h40l6 56a5 5 0 0 1-5 5H29a5 5 0 0 1-5-5z"),
    (Light, "M36 46h28v24H36z"),
];

/// Silhouettes by words of names; the first that a name holds counts, so that longer things stand before their parts.
const THINGS: &[(&str, Silhouette)] = &[
    ("table lamp", LAMP),
    ("desk lamp", LAMP),
    ("bedside lamp", LAMP),
    ("desk organiser", BLOCKS),
    ("laundry basket", BAG),
    ("plant stand", PLANT),
    ("plant pot", PLANT),
    ("storage jar", JAR),
    ("pepper mill", BOTTLE),
    ("ink bottle", JAR),
    ("water bottle", BOTTLE),
    ("coffee table", TABLE),
    ("bedside table", TABLE),
    ("sleeping bag", CUSHION),
    ("ground coffee", BAG),
    ("play tent", TENT),
    ("picnic blanket", TOWEL),
    ("mug", MUG),
    ("cup", MUG),
    ("teapot", POT),
    ("kettle", POT),
    ("coffee pot", POT),
    ("watering can", POT),
    ("pan", PAN),
    ("casserole", PAN),
    ("colander", PAN),
    ("bowl", PAN),
    ("stove", PAN),
    ("board game", BOOK),
    ("chopping board", BOOK),
    ("knife", PEN),
    ("baking tray", TABLE),
    ("lamp", LAMP),
    ("light", LAMP),
    ("lampshade", LAMP),
    ("pendant", LAMP),
    ("lantern", LAMP),
    ("torch", LAMP),
    ("candle", LAMP),
    ("parasol", LAMP),
    ("armchair", CHAIR),
    ("chair", CHAIR),
    ("stool", CHAIR),
    ("sofa", CHAIR),
    ("bench", CHAIR),
    ("desk", TABLE),
    ("table", TABLE),
    ("sideboard", CABINET),
    ("bookcase", CABINET),
    ("wardrobe", CABINET),
    ("shelf", CABINET),
    ("mirror", CABINET),
    ("doll's house", CABINET),
    ("duvet", CUSHION),
    ("pillow", CUSHION),
    ("cushion", CUSHION),
    ("blanket", TOWEL),
    ("throw", TOWEL),
    ("towel", TOWEL),
    ("sheet", TOWEL),
    ("mat", TOWEL),
    ("bedspread", TOWEL),
    ("curtain", TOWEL),
    ("cloth", TOWEL),
    ("scarf", TOWEL),
    ("soap", JAR),
    ("bathrobe", SHIRT),
    ("planter", PLANT),
    ("raised bed", PLANT),
    ("trowel", TOOL),
    ("spade", TOOL),
    ("rake", TOOL),
    ("secateurs", TOOL),
    ("compost", BAG),
    ("jeans", TROUSERS),
    ("chinos", TROUSERS),
    ("pyjamas", TROUSERS),
    ("skirt", LAMP),
    ("beanie", HAT),
    ("helmet", HAT),
    ("t-shirt", SHIRT),
    ("headphones", HEADPHONES),
    ("earbuds", HEADPHONES),
    ("speaker", SPEAKER),
    ("radio", SPEAKER),
    ("clock", SPEAKER),
    ("webcam", SPEAKER),
    ("microphone", SPEAKER),
    ("cable", CABLE),
    ("charger", CABLE),
    ("adapter", CABLE),
    ("rope", CABLE),
    ("notebook", BOOK),
    ("book", BOOK),
    ("sketchbook", BOOK),
    ("planner", BOOK),
    ("binder", BOOK),
    ("cards", BOOK),
    ("card", BOOK),
    ("notes", BOOK),
    ("pen", PEN),
    ("pencil", PEN),
    ("calligraphy", PEN),
    ("stapler", PEN),
    ("poles", PEN),
    ("football", BALL),
    ("yo-yo", BALL),
    ("marble", BALL),
    ("spinning top", BALL),
    ("backpack", PACK),
    ("cool box", PACK),
    ("tent", TENT),
    ("kite", TENT),
    ("shampoo", BOTTLE),
    ("lotion", BOTTLE),
    ("oil", BOTTLE),
    ("conditioner", BOTTLE),
    ("deodorant", BOTTLE),
    ("toilette", BOTTLE),
    ("balm", JAR),
    ("cream", TUBE),
    ("toothpaste", TUBE),
    ("sunscreen", TUBE),
    ("mask", TUBE),
    ("scrub", TUBE),
    ("honey", JAR),
    ("chutney", JAR),
    ("marmalade", JAR),
    ("spice", JAR),
    ("salts", JAR),
    ("salt", JAR),
    ("coffee", BAG),
    ("beans", BAG),
    ("tea", BAG),
    ("pasta", BAG),
    ("granola", BAG),
    ("mix", BAG),
    ("chocolate", BOOK),
    ("figs", BAG),
    ("shortbread", BAG),
];

/// Silhouettes by beginnings of categories, for things that have none of their own.
const CATEGORIES: &[(&str, Silhouette)] = &[
    ("Kitchen", POT),
    ("Lighting", LAMP),
    ("Furniture", TABLE),
    ("Bed", CUSHION),
    ("Garden", PLANT),
    ("Clothing", SHIRT),
    ("Electronics", DEVICE),
    ("Stationery", BOOK),
    ("Toys", BLOCKS),
    ("Sport", BALL),
    ("Beauty", BOTTLE),
    ("Food", JAR),
];

/// Silhouettes of what is neither.
const OTHERS: &[Silhouette] = &[BAG, JAR, BLOCKS, CABINET, PACK];

/// A hue in degrees, saturation and lightness in percent.
type Colour = (u16, u16, u16);

/// Colours by words of names.
const COLOURS: &[(&str, Colour)] = &[
    ("forest green", (140, 35, 32)),
    ("sky blue", (203, 60, 62)),
    ("slate grey", (210, 14, 46)),
    ("black", (220, 10, 22)),
    ("white", (40, 18, 88)),
    ("navy", (222, 48, 30)),
    ("cream", (42, 50, 80)),
    ("terracotta", (16, 55, 52)),
    ("mustard", (43, 70, 50)),
    ("burgundy", (344, 50, 32)),
    ("olive", (72, 32, 38)),
    ("rose", (346, 50, 66)),
    ("charcoal", (215, 8, 30)),
    ("natural", (34, 32, 66)),
    ("copper", (20, 50, 50)),
    ("brass", (42, 52, 48)),
    ("walnut", (24, 34, 34)),
    ("oak", (33, 42, 56)),
    ("silver", (210, 10, 66)),
    ("graphite", (220, 8, 34)),
    ("blue", (214, 52, 48)),
    ("lavender", (262, 38, 66)),
    ("honey", (38, 76, 54)),
    ("dark", (20, 38, 22)),
    ("lemon", (50, 80, 60)),
    ("ginger", (28, 62, 56)),
];

/// Colours of what names none.
const PALETTE: &[Colour] = &[
    (16, 58, 55),
    (43, 68, 53),
    (158, 34, 40),
    (188, 42, 42),
    (212, 46, 50),
    (262, 32, 56),
    (338, 44, 56),
    (90, 32, 44),
];

impl Picture {
    /// The picture of a product; always the same for the same words.
    pub(super) fn of(sku: &str, name: &str, category: &str) -> Self {
        let number = sku
            .bytes()
            .chain(name.bytes())
            .fold(0xcbf2_9ce4_u32, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let pick = |length: usize| usize::try_from(number >> 8).unwrap_or_default() % length;
        let words = name.to_lowercase();
        let silhouette = THINGS
            .iter()
            .find(|(word, _)| holds(&words, word))
            .or_else(|| CATEGORIES.iter().find(|(beginning, _)| category.starts_with(beginning)))
            .map_or(OTHERS[pick(OTHERS.len())], |(_, silhouette)| *silhouette);
        let colour = COLOURS
            .iter()
            .find(|(word, _)| holds(&words, word))
            .map_or(PALETTE[pick(PALETTE.len())], |(_, colour)| *colour);
        let (hue, saturation, lightness) = colour;
        // A light thing stands before a darker field, and any other before a light one.
        let (field_saturation, field_lightness) = if lightness > 72 { (26, 62) } else { (saturation.min(40), 90) };
        let shapes = silhouette.iter().map(|(tone, path)| {
            let lightness = match tone {
                Tone::Body => lightness,
                Tone::Shade => lightness.saturating_sub(12).max(8),
                Tone::Light => (lightness + 14).min(95),
            };
            Shape { fill: format!("hsl({hue} {saturation}% {lightness}%)"), path }
        });
        Self { background: format!("hsl({hue} {field_saturation}% {field_lightness}%)"), shapes: shapes.collect() }
    }
}

/// Whether `word` stands in `words` as a word of its own, or as the end of one such as "saucepan".
fn holds(words: &str, word: &str) -> bool {
    words.match_indices(word).any(|(place, _)| {
        let after = words[place + word.len()..].chars().next();
        !after.is_some_and(char::is_alphabetic)
            || words[place + word.len()..].starts_with("s ")
            || words[place + word.len()..].starts_with("s,")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_shows_the_thing_in_the_colour_of_its_name() {
        let picture = Picture::of("KIT-1", "Alder Enamel Mug, Navy", "Kitchen");
        assert_eq!(picture.shapes[0].path, MUG[0].1);
        assert_eq!(picture.shapes[1].fill, "hsl(222 48% 30%)");
    }

    #[test]
    fn a_product_without_known_words_has_a_picture_too() {
        assert!(!Picture::of("X", "", "").shapes.is_empty());
        assert_eq!(Picture::of("X", "Ω", "Other").background, Picture::of("X", "Ω", "Other").background);
    }
}
