//! The words of the invented world: names, biographies, categories, captions in several languages.

use super::dice::Dice;

const FIRST: [&str; 16] = [
    "Amara", "Björn", "Chiara", "Dilek", "Elif", "Finn", "Gözde", "Hana", "Ilse", "Jonas", "Kenji", "Léa", "Mateo",
    "Noor", "Olga", "Zoë",
];
const LAST: [&str; 16] = [
    "Abara",
    "Bergström",
    "Costa",
    "Demir",
    "Eriksen",
    "Fontaine",
    "García",
    "Haddad",
    "Ivanova",
    "Jensen",
    "Kaya",
    "Lindqvist",
    "Müller",
    "Nakamura",
    "Okafor",
    "Yılmaz",
];
const TRADES: [&str; 10] = [
    "Studio",
    "Kitchen",
    "Outdoors",
    "Coffee Roasters",
    "Football Club",
    "Museum",
    "Radio",
    "Cycling",
    "Books",
    "Ceramics",
];
const CATEGORIES: [&str; 10] = [
    "Artist",
    "Musician/band",
    "Public figure",
    "Photographer",
    "Restaurant",
    "Athlete",
    "Digital creator",
    "Science Website",
    "Nonprofit organization",
    "Personal blog",
];
const BIOGRAPHIES: [&str; 8] = [
    "Small things, looked at closely.",
    "📍 Istanbul / Lisbon\nNew work every week",
    "Bilder aus dem Alltag 🌿\nAnfragen per Mail",
    "İyi günler! Her gün bir fotoğraf",
    "写真と散歩 📷",
    "Rezepte, die immer gelingen 🍞",
    "Tout commence par un croquis ✏️",
    "Official account. Questions: press@example.org",
];
const SENTENCES: [&str; 16] = [
    "Back where it all began.",
    "Three days of rain, one hour of light ☀️",
    "Nobody told us how cold it would be.",
    "Save this for your next weekend.",
    "Heute war endlich Zeit dafür.",
    "Ein langer Weg, und jeder Meter hat sich gelohnt 🏔️",
    "Bugün stüdyoda ilk deneme, ne dersiniz?",
    "Sabahın ilk ışığı, çay ve sessizlik ☕",
    "La mer, encore et toujours.",
    "On recommence demain ?",
    "Hecho a mano, sin prisa.",
    "¿Cuál prefieren: 1, 2 o 3?",
    "今日の一枚。",
    "また来年もここで 🌸",
    "Первый снег и горячий чай ❄️",
    "صباح الخير من هنا",
];
const TAGS: [&str; 18] = [
    "#photooftheday",
    "#reels",
    "#behindthescenes",
    "#slowliving",
    "#küche",
    "#überland",
    "#günaydın",
    "#istanbul",
    "#été",
    "#mañana",
    "#写真",
    "#桜",
    "#зима",
    "#travel2026",
    "#handmade",
    "#coffee",
    "#music",
    "#صباح",
];
const FRIENDS: [&str; 10] = [
    "@lena.draws",
    "@studio_nord",
    "@kaya.films",
    "@the.slow.kitchen",
    "@museo_abierto",
    "@hana_k",
    "@northbound.cc",
    "@radio.lilla",
    "@okafor.j",
    "@zoe__ceramics",
];

/// A person's name or a small company's.
pub(super) fn full_name(dice: &mut Dice) -> String {
    if dice.chance(0.7) {
        format!("{} {}", dice.pick(&FIRST), dice.pick(&LAST))
    } else {
        format!("{} {}", dice.pick(&LAST), dice.pick(&TRADES))
    }
}

/// The text under the name; sometimes there is none.
pub(super) fn biography(dice: &mut Dice) -> String {
    if dice.chance(0.1) { String::new() } else { (*dice.pick(&BIOGRAPHIES)).to_owned() }
}

/// The category, which about half of the accounts show.
pub(super) fn category(dice: &mut Dice) -> Option<&'static str> {
    dice.chance(0.5).then(|| *dice.pick(&CATEGORIES))
}

/// A caption with hashtags and mentions; about one post in twelve has none.
pub(super) fn caption(dice: &mut Dice) -> Option<String> {
    if dice.chance(0.08) {
        return None;
    }
    let mut text = (*dice.pick(&SENTENCES)).to_owned();
    if dice.chance(0.3) {
        text = format!("{text} {}", dice.pick(&SENTENCES));
    }
    if dice.chance(0.35) {
        text = format!("{text}\nwith {}", dice.pick(&FRIENDS));
    }
    let tags: Vec<&str> = (0..dice.below(5)).map(|_| *dice.pick(&TAGS)).collect();
    if !tags.is_empty() {
        text = format!("{text}\n\n{}", tags.join(" "));
    }
    Some(text)
}

/// The handle of somebody who is tagged, without `@`.
pub(super) fn friend(dice: &mut Dice) -> &'static str {
    &dice.pick(&FRIENDS)[1..]
}
