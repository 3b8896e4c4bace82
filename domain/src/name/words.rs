//! The words that random names are made of: friendly, short, easy to say on the phone.

// A list reads better in rows than one word a line.
#[rustfmt::skip]
/// How something is.
pub(super) const ADJECTIVES: &[&str] = &[
    "able", "airy", "amber", "ample", "arctic", "autumn", "azure", "bold", "brave", "breezy",
    "bright", "brisk", "calm", "candid", "careful", "cheery", "chill", "civil", "clear",
    "clever", "cobalt", "cool", "coral", "cosy", "crisp", "curious", "daring", "dawn", "deep",
    "deft", "dewy", "eager", "early", "earnest", "easy", "elder", "even", "evening", "fair",
    "faithful", "fancy", "fast", "fern", "festive", "fine", "firm", "fleet", "fluent", "fond",
    "frank", "free", "fresh", "frosty", "gentle", "giant", "glad", "gleaming", "golden", "good",
    "grand", "grassy", "green", "happy", "hardy", "hazel", "hearty", "hidden", "high", "honest",
    "hushed", "icy", "ideal", "indigo", "ivory", "jade", "jolly", "jovial", "joyful", "keen",
    "kind", "lasting", "late", "lemon", "light", "lilac", "lively", "long", "loud", "loyal",
    "lucid", "lucky", "lunar", "lush", "maple", "marble", "mellow", "merry", "mild", "mint",
    "misty", "modest", "mossy", "neat", "nimble", "noble", "northern", "novel", "ochre",
    "olive", "opal", "open", "orange", "pacific", "patient", "peaceful", "pearl", "placid",
    "plain", "playful", "poised", "polar", "polished", "primal", "proud", "pure", "purple",
    "quick", "quiet", "rapid", "rare", "ready", "red", "regal", "restful", "rich", "robust",
    "rose", "royal", "ruby", "rustic", "safe", "sandy", "scarlet", "serene", "sharp", "shining",
    "silent", "silver", "sincere", "sleek", "smart", "smooth", "snowy", "soft", "solar",
    "solid", "sound", "southern", "sparkling", "spring", "spry", "stable", "starry", "steady",
    "still", "stormy", "strong", "summer", "sunny", "sure", "swift", "tall", "tame", "tawny",
    "teal", "tender", "thankful", "tidy", "tiny", "topaz", "tranquil", "true", "trusty",
    "upbeat", "velvet", "vivid", "wandering", "warm", "western", "white", "wild", "winged",
    "winter", "wise", "witty", "young", "zesty",
];

#[rustfmt::skip]
/// Something outdoors.
pub(super) const NOUNS: &[&str] = &[
    "acorn", "alder", "anchor", "arch", "ash", "aspen", "badger", "bay", "beach", "beacon",
    "bear", "beaver", "birch", "bird", "bison", "bloom", "bluff", "boat", "bough", "breeze",
    "bridge", "brook", "bud", "butte", "canoe", "canyon", "cape", "cedar", "chestnut", "cliff",
    "cloud", "clover", "coast", "comet", "cove", "crane", "creek", "crest", "crow", "dale",
    "dawn", "deer", "delta", "desert", "dew", "dove", "dune", "dusk", "eagle", "earth", "echo",
    "ember", "falcon", "fawn", "fern", "field", "finch", "fir", "fire", "fjord", "flame",
    "flower", "fog", "forest", "fountain", "fox", "frost", "garden", "geyser", "glacier",
    "glade", "glen", "grass", "grove", "gull", "harbor", "hare", "haven", "hawk", "haze",
    "heath", "hedge", "heron", "hill", "holly", "horizon", "ibex", "iris", "island", "isle",
    "ivy", "jay", "juniper", "kestrel", "lagoon", "lake", "larch", "lark", "laurel", "leaf",
    "ledge", "lily", "linden", "lion", "lotus", "lynx", "maple", "marsh", "meadow", "mesa",
    "mist", "moon", "moor", "moose", "moss", "mountain", "nebula", "nest", "oak", "oasis",
    "ocean", "orbit", "orchard", "orchid", "osprey", "otter", "owl", "palm", "path", "pebble",
    "pelican", "pine", "plain", "planet", "plateau", "pond", "poplar", "poppy", "prairie",
    "quail", "quartz", "rain", "rapids", "raven", "reed", "reef", "ridge", "river", "robin",
    "rock", "rose", "sage", "sail", "salmon", "sand", "sea", "seal", "sequoia", "shade",
    "shadow", "shell", "shore", "sky", "slope", "snow", "sparrow", "spring", "spruce", "star",
    "stone", "storm", "strand", "stream", "sun", "sunset", "surf", "swallow", "swan", "thicket",
    "thistle", "thunder", "tide", "timber", "trail", "tree", "tulip", "tundra", "valley",
    "violet", "vista", "walrus", "water", "waterfall", "wave", "willow", "wind", "wolf", "wood",
    "wren", "yew", "zephyr",
];
