-- Our accounts at certificate authorities (ACME).
create table acme_accounts (
  directory text primary key,
  -- None until it is registered.
  url text,
  -- Sealed.
  private_key BLOB not null,
  -- The authority has had enough of us until then.
  blocked_until DATETIME,
  created_at DATETIME not null
);

-- The automatic certificate of a domain, and how far it is.
create table acme_certificates (
  domain_id BLOB primary key references domains(id) on delete cascade,
  app_id BLOB not null references apps(id) on delete cascade,
  -- In Heroku's words: pending, dns-verified, verified, cert issued, failing, failed.
  status text not null,
  reason text,
  -- Who was asked for the certificate, or for the one that is there.
  directory text,
  order_url text,
  -- Of the certificate that is under way; sealed.
  private_key BLOB,
  -- What the router has to answer for the name, for authorities or for ourselves.
  challenge_token text,
  challenge_answer text,
  -- A certificate of no worth that carries the answer (TLS-ALPN-01), and its key.
  challenge_chain text,
  challenge_key text,
  -- Failures in a row.
  attempts bigint not null,
  -- When it is looked at again.
  next_at DATETIME not null,
  -- When the certificate that is there is to be renewed.
  renew_at DATETIME,
  created_at DATETIME not null,
  updated_at DATETIME not null
);
create index acme_certificates_by_next on acme_certificates(next_at);
create index acme_certificates_by_app on acme_certificates(app_id);

alter table sni_endpoints add column acm BOOLEAN not null default false;
-- Somebody has switched it on or off by hand.
alter table apps add column acm_chosen BOOLEAN not null default false;
