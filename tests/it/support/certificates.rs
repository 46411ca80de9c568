//! Certificates for the tests, made by an authority that nobody else knows. The file must not know
//! who shows them. The tests of `tickcast-connect` have it too.

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Name, X509NameBuilder};

const DAY_S: i64 = 86_400;

/// Who signs.
pub struct Authority {
    certificate: X509,
    key: PKey<Private>,
}

/// A certificate and its key, both as PEM.
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = new_key();
        let mut builder = begin(&named(name), &named(name), &key, 2);
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        Authority { certificate: builder.build(), key }
    }

    /// What others must trust to believe what it signs.
    pub fn pem(&self) -> String {
        text(self.certificate.to_pem().unwrap())
    }

    /// Signs a certificate for a server at one host (a name or an address) or for a client. It counts
    /// so many days from now on; one of -1 has expired yesterday.
    pub fn issue(&self, name: &str, host: Option<&str>, days: i64) -> Identity {
        let key = new_key();
        let mut builder = begin(&named(name), &self.name(), &key, days);
        let usage = ExtendedKeyUsage::new().server_auth().client_auth().build().unwrap();
        builder.append_extension(usage).unwrap();
        if let Some(host) = host {
            let mut alternative = SubjectAlternativeName::new();
            let alternative = match host.parse::<std::net::IpAddr>() {
                Ok(_) => alternative.ip(host),
                Err(_) => alternative.dns(host),
            };
            let context = builder.x509v3_context(Some(&self.certificate), None);
            let alternative = alternative.build(&context).unwrap();
            builder.append_extension(alternative).unwrap();
        }

        builder.sign(&self.key, MessageDigest::sha256()).unwrap();
        let certificate = text(builder.build().to_pem().unwrap());
        Identity { certificate, key: text(key.private_key_to_pem_pkcs8().unwrap()) }
    }

    fn name(&self) -> X509Name {
        self.certificate.subject_name().to_owned().unwrap()
    }
}

/// A certificate that is not yet signed.
fn begin(subject: &X509Name, issuer: &X509Name, key: &PKey<Private>, days: i64) -> X509Builder {
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(127, openssl::bn::MsbOption::MAYBE_ZERO, false).unwrap();
    builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(subject).unwrap();
    builder.set_issuer_name(issuer).unwrap();
    builder.set_pubkey(key).unwrap();

    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    let at = |days| Asn1Time::from_unix(now + days * DAY_S).unwrap();
    builder.set_not_before(&at(-2)).unwrap();
    builder.set_not_after(&at(days)).unwrap();
    builder
}

fn new_key() -> PKey<Private> {
    let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&curve).unwrap()).unwrap()
}

fn named(name: &str) -> X509Name {
    let mut builder = X509NameBuilder::new().unwrap();
    builder.append_entry_by_text("CN", name).unwrap();
    builder.build()
}

fn text(pem: Vec<u8>) -> String {
    String::from_utf8(pem).unwrap()
}
