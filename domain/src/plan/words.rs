//! Enums that are stored and shown as one word each: the word is written once, here.

/// A word that is none of the enum's: a row written by a newer paas, or a damaged one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} can't be {word:?}; it is one of {known}")]
pub struct UnknownWord {
    /// What the word should have named, for instance `phase`.
    pub what: &'static str,
    /// What was found instead.
    pub word: String,
    /// The words that are known, separated by commas.
    pub known: String,
}

/// Declares an enum whose variants are words: `as_str`, `Display`, `FromStr` and serde agree.
macro_rules! words {
    (
        $(#[$doc:meta])*
        $vis:vis enum $name:ident as $what:literal {
            $( $(#[$variant_doc:meta])* $variant:ident = $word:literal, )+
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        $vis enum $name {
            $( $(#[$variant_doc])* #[serde(rename = $word)] $variant, )+
        }

        impl $name {
            /// Every variant, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word it is stored and shown as.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::plan::UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    other => Err($crate::plan::UnknownWord {
                        what: $what,
                        word: other.to_owned(),
                        known: [$($word),+].join(", "),
                    }),
                }
            }
        }
    };
}

pub(crate) use words;
