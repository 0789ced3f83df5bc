//! How many decimal digits a currency has. Pure.

use super::Currency;

/// Active currencies without minor unit, by ISO 4217 list one (<https://www.six-group.com/en/products-services/financial-information/data-standards.html>).
const NONE: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
/// Active currencies whose minor unit is a hundredth.
const TWO: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP CRC CUP CVE CZK \
    DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL \
    MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD \
    SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG";
/// Active currencies whose minor unit is a thousandth.
const THREE: &str = "BHD IQD JOD KWD LYD OMR TND";
/// Active currencies with four decimal digits.
const FOUR: &str = "CLF UYW";

impl Currency {
    /// Decimal digits of an amount of this currency; `None` when ISO 4217 lists no such money.
    #[must_use]
    pub fn minor_digits(self) -> Option<u32> {
        [(NONE, 0), (TWO, 2), (THREE, 3), (FOUR, 4)]
            .into_iter()
            .find(|(codes, _)| codes.split_ascii_whitespace().any(|code| code == self.as_str()))
            .map(|(_, digits)| digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_currency_has_the_digits_of_its_minor_unit() {
        for (code, digits) in
            [("EUR", Some(2)), ("USD", Some(2)), ("JPY", Some(0)), ("KWD", Some(3)), ("CLF", Some(4)), ("EUS", None)]
        {
            assert_eq!(code.parse::<Currency>().expect("three letters").minor_digits(), digits, "{code}");
        }
    }
}
