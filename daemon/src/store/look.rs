//! A look at a database that changes nothing: it is neither made nor brought up to date.

use std::str::FromStr as _;

use sqlx::{
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};

use super::{
    Conn, StoreResult,
    db::{self, Address, rows},
    settings,
};

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Which and where, for people and without its password.
    pub place: String,
    /// How far its tables are.
    pub tables: Tables,
    /// The identity of the installation that it belongs to.
    pub instance: Option<String>,
}

/// How far a database's tables are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tables {
    /// There are none of ours.
    None,
    /// So many migrations are still to be applied.
    Behind(usize),
    /// As this program wants them.
    Current,
    /// Another version of this program has made them, or a migration of its ended half-way.
    Foreign,
}

/// Looks at the database at `url`.
pub async fn look(url: &str) -> StoreResult<Look> {
    let address = Address::of(url)?;
    let place = place(&address)?;
    let (mut conn, table) = match &address {
        Address::Sqlite(path) if !path.exists() => {
            return Ok(Look { place, tables: Tables::None, instance: None });
        }
        Address::Sqlite(path) => {
            // One that SQLite opens "read only" would leave files of its own beside the database.
            let options = SqliteConnectOptions::new().filename(path).busy_timeout(db::BUSY).pragma("query_only", "on");
            let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
            (
                Conn::SqliteRead(pool.acquire().await?),
                "select count(*) > 0 from sqlite_schema where name = '_sqlx_migrations'",
            )
        }
        Address::Postgres(url) => {
            let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(db::ANSWER).connect(url).await?;
            (Conn::PgRead(pool.acquire().await?), "select to_regclass('_sqlx_migrations') is not null")
        }
    };
    let looked = read(&mut conn, address.migrations(), table).await;
    conn.close().await?;
    let (tables, instance) = looked?;
    Ok(Look { place, tables, instance })
}

/// `table` asks whether there is one of migrations.
async fn read(c: &mut Conn, known: &Migrator, table: &'static str) -> StoreResult<(Tables, Option<String>)> {
    let (there,): (bool,) = rows!(c, (bool,), fetch_one, table)?;
    if !there {
        return Ok((Tables::None, None));
    }
    let applied: Vec<(i64, bool, Vec<u8>)> = rows!(
        c,
        (i64, bool, Vec<u8>),
        fetch_all,
        "select version, success, checksum from _sqlx_migrations order by version"
    )?;
    let tables = compare(known, &applied);
    let instance = if tables == Tables::None { None } else { settings::get(c, settings::INSTANCE).await? };
    Ok((tables, instance))
}

fn place(address: &Address<'_>) -> StoreResult<String> {
    Ok(match address {
        Address::Sqlite(path) => format!("the SQLite database {}", path.display()),
        Address::Postgres(url) => {
            let options = PgConnectOptions::from_str(url)?;
            let name = options.get_database().unwrap_or_else(|| options.get_username());
            format!("the Postgres database {name} at {}:{}", options.get_host(), options.get_port())
        }
    })
}

/// What was applied, against what this program knows.
fn compare(known: &Migrator, applied: &[(i64, bool, Vec<u8>)]) -> Tables {
    if applied.is_empty() {
        return Tables::None;
    }
    let same = |(version, success, checksum): &(i64, bool, Vec<u8>)| {
        *success && known.iter().any(|one| one.version == *version && one.checksum.as_ref() == checksum.as_slice())
    };
    match known.iter().count().checked_sub(applied.len()) {
        Some(left) if applied.iter().all(same) => match left {
            0 => Tables::Current,
            left => Tables::Behind(left),
        },
        _ => Tables::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_another_version_are_known() {
        let known = Address::of("sqlite:x").unwrap().migrations();
        let first = known.iter().next().unwrap();
        let (version, checksum) = (first.version, first.checksum.to_vec());
        let all: Vec<_> = known.iter().map(|one| (one.version, true, one.checksum.to_vec())).collect();
        assert_eq!(compare(known, &[]), Tables::None);
        assert_eq!(compare(known, &all), Tables::Current);
        assert_eq!(compare(known, &[(version, false, checksum.clone())]), Tables::Foreign);
        assert_eq!(compare(known, &[(version, true, vec![1])]), Tables::Foreign);
        assert_eq!(compare(known, &[all.as_slice(), &[(9999, true, checksum)]].concat()), Tables::Foreign);
    }

    #[test]
    fn a_place_has_no_password() {
        let address = Address::of("postgres://me:secret@db.example.com:5433/paas").unwrap();
        assert_eq!(place(&address).unwrap(), "the Postgres database paas at db.example.com:5433");
    }
}
