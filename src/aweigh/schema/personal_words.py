"""Words by which columns of personal data are named, in several languages, and placeholders for what they hold.

Names are compared without accents, capitals and signs: ``Geburts-Datum``, ``geburtsdatum`` and ``GeburtsDatum`` are one
or two words, and both are known.
"""

from typing import Literal

Kind = Literal[
    "name",
    "email",
    "phone",
    "address",
    "birth",
    "national",
    "bank",
    "card",
    "network",
    "link",
    "identifier",
    "text",
]
"""What a personal column holds."""

SAID: dict[Kind, str] = {
    "name": "names of people",
    "email": "e-mail addresses",
    "phone": "phone numbers",
    "address": "postal addresses",
    "birth": "dates of birth",
    "national": "numbers of people's papers",
    "bank": "bank accounts",
    "card": "payment cards",
    "network": "network addresses",
    "link": "addresses of people's pages",
    "identifier": "identifiers",
    "text": "text with personal data in it",
}

PLACEHOLDER: dict[Kind, str] = {
    "name": "A. Person",
    "email": "person@example.org",
    "phone": "+1 202 555 0100",
    "address": "1 Example Street",
    "birth": "2000-01-01",
    "national": "000-00-0000",
    "bank": "XX00 0000 0000",
    "card": "0000 0000 0000 0000",
    "network": "192.0.2.1",
    "link": "https://example.org/",
    "identifier": "id-0",
    "text": "some text",
}
"""Text that stands where a person's would: reserved for examples, or impossible."""

ALONE: dict[Kind, str] = {
    "name": "name, fullname, full name, first name, firstname, fname, given name, givenname, middle name, "
    "last name, lastname, lname, surname, family name, familyname, forename, maiden name, "
    "username, user name, login, nickname, display name, vorname, nachname, familienname, "
    "benutzername, prenom, nom, nom de famille, nom complet, nombre, nombres, apellido, "
    "apellidos, nombre completo, usuario, nome, cognome, nome completo, sobrenome, apelido, "
    "voornaam, achternaam, naam, imie, nazwisko, fornavn, etternavn, efternavn, fornamn, "
    "efternamn, etunimi, sukunimi, ad soyad",
    "email": "email, e mail, mail, emails, mailaddress, mail address, email address, emailaddress, "
    "emailadresse, courriel, correo, correo electronico, posta elettronica, poczta, e post",
    "phone": "phone, phones, phone no, phone number, phonenumber, telephone, telephone number, tel, tel "
    "no, mobile, mobile number, mobile phone, cell, cellphone, cell phone, fax, whatsapp, "
    "telefon, telefonnummer, handy, handynummer, mobil, portable, numero de telephone, telefono, "
    "movil, celular, cellulare, telefone, telefoon, telefoonnummer, msisdn, puhelin",
    "address": "address, addr, address1, address2, street, street address, home address, postal address, "
    "mailing address, billing address, shipping address, residence, adresse, anschrift, "
    "strasse, rue, direccion, domicilio, calle, indirizzo, via, endereco, morada, rua, adres, "
    "straat, ulica, adress, gata, osoite",
    "birth": "birth date, birthdate, birth day, birthday, date of birth, dob, born, born on, "
    "geburtsdatum, geburtstag, geboren, date de naissance, naissance, fecha de nacimiento, fecha "
    "nacimiento, nacimiento, data di nascita, data nascita, data de nascimento, data nascimento, "
    "geboortedatum, data urodzenia, fodselsdato, fodelsedatum",
    "national": "ssn, social security, social security number, social security no, national id, national "
    "number, nin, ni number, nino, tax id, tax number, tin, itin, passport, passport number, "
    "passport no, driver license, drivers license, driving licence, licence number, license "
    "number, license plate, number plate, id card, id number, insurance number, nhs number, "
    "medicare number, medicare, mrn, medical record number, medical record, "
    "sozialversicherungsnummer, steuernummer, steuer id, personalausweis, reisepass, "
    "reisepassnummer, kennzeichen, numero de securite sociale, nir, passeport, dni, nie, nif, "
    "curp, rfc, rut, cuil, pasaporte, codice fiscale, passaporto, cpf, rg, passaporte, bsn, "
    "rijksregisternummer, pesel, personnummer, fodselsnummer, henkilotunnus, aadhaar, aadhar, "
    "pan number",
    "bank": "iban, bic, bank account, bank account number, account number, account no, accountnumber, "
    "acct no, acctno, kontonummer, konto, compte bancaire, cuenta bancaria, conto corrente, "
    "rekeningnummer, sort code, routing number",
    "card": "credit card, creditcard, credit card number, card number, cardnumber, card no, pan, debit "
    "card, ccnum, cc number, kreditkarte, kreditkartennummer, carte bancaire, tarjeta, numero de "
    "tarjeta, carta di credito",
    "network": "ip, ip address, ipaddress, ip addr, ipv4, ipv6, client ip, remote addr, remote address, "
    "mac, mac address, macaddress, imei, imsi, device id, deviceid, advertising id, idfa, "
    "gaid, cookie, cookie id, session id",
    "link": "linkedin, twitter, facebook, instagram, profile url, homepage, website of person",
    "identifier": "customer id, customerid, customer no, customer number, client id, clientid, user id, "
    "userid, uid, patient id, patientid, patient, member id, memberid, employee id, "
    "employeeid, employee number, student id, person id, personid, passenger id, "
    "passengerid, applicant id, account id, accountid, subject id, subject, policy number, "
    "kundennummer, kunden id, patientennummer, personalnummer, mitarbeiternummer, id "
    "client, numero client, id cliente, numero cliente, klantnummer, guid, uuid",
}
"""Whole names, by what they hold."""

OF_PERSONS = frozenset(
    "customer client patient user employee contact owner holder person passenger member applicant "
    "borrower guest buyer seller sender recipient driver student teacher doctor author tenant subscriber "
    "cardholder insured mother father spouse child kunde kunden patienten mitarbeiter cliente client "
    "paciente paziente klant home work billing shipping business personal private primary secondary "
    "emergency my his her their".split()
)
"""Words that may stand before or behind such a name: ``customer_email``, ``email_work``, ``patient_name``."""

AN_ID = frozenset(
    "id ids no nr num number nummer numero uuid guid key code ref reference serial ticket account token "
    "hash identifier identification index rowid pk".split()
)
"""Words by which a column of whole numbers is a name of rows, and no measurement."""

FIRST_NAMES = frozenset(
    "aaron ada adam adrian agnes ahmed aisha alan albert alejandro alessandro alex alexander alexandra "
    "ali alice alina amanda amelia amir ana anastasia andre andrea andreas andrew angela anita anja ann "
    "anna anne annika anthony antoine antonio arjun arthur aurelie axel barbara beatrice ben benjamin "
    "bernd bianca bjorn brian bruno camille carl carla carlos carmen caroline catherine cecile celine "
    "charles charlotte chen chiara chris christian christina christine christopher claire clara claudia "
    "claudio cristina daniel daniela david deborah denis diana diego dmitri donald dorothy edward elena "
    "elias elisa elisabeth elizabeth ella emil emily emma eric erik ernst esther eva fatima felix "
    "fernando finn florian francesca francesco francois frank franz fred gabriel george georg gerhard "
    "gianni giovanni giulia grace greta guillaume hanna hannah hans harry hassan heather heidi heinrich "
    "helen helena helga henri henry hugo ian ibrahim ingrid irene isabel isabella ivan jack jacob jacques "
    "jakob james jan jana jane janet jean jennifer jens jessica joan joao joe johan johann johanna john "
    "jonas jonathan jorge jose josef joseph joshua juan juergen julia julian julie karen karin karl kate "
    "katharina katherine kathleen katrin kenneth kevin klaus larry lars laura lea lena leo leon leonie "
    "lewis li liam lily linda lisa louis louise luca lucas lucia lucy luis luisa lukas magda manuel marc "
    "marco marcus margaret maria mariam marie marina mario marion mark markus marta martha martin martina "
    "mary mateo matteo matthew matthias maud max maximilian maya melissa mia michael michel michelle "
    "miguel mila mohamed mohammed monica monika nadia nancy natalia natalie nicholas nicola nicolas "
    "nicole niklas nina noah nora oleg oliver olivia olga omar oscar otto owen pablo paolo patricia "
    "patrick paul paula paulo pedro peter petra philip philipp pierre priya rachel rafael ralph raul "
    "rebecca richard robert roberto roger roland ronald rosa ruth ryan sabine sam samantha samuel sandra "
    "sara sarah scott sebastian sergei silvia simon simone sofia sofie sophia sophie stefan stefanie "
    "stephanie stephen steven susan susanne sven sylvia tanja teresa theodor theresa thomas tim timothy "
    "tobias tom tomas ulrich ursula uwe valentina vera veronica victor victoria vincent virginia walter "
    "wei werner wilhelm william wolfgang xavier yasmin yusuf yuki yves zoe".split()
)
"""First names common in several languages: a column of names holds many of them, one of products few."""
