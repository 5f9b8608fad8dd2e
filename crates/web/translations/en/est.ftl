# Renewal by a program: the ticket page, and what programs are told
main-ticket = Renewal ticket for programs
main-ticket-note = Only if a program instead of a browser keeps your certificate.
ticket-title = Renewal ticket for programs
ticket-lead = If a program keeps your certificate instead of a browser, it needs a renewal ticket to renew it. If you use a browser, you do not need one.
ticket-terms = { $minutes ->
    [one] A ticket renews this certificate once. It works for 1 minute, and only while you stay logged in.
   *[other] A ticket renews this certificate once. It works for { $minutes } minutes, and only while you stay logged in.
}
ticket-make = Make a ticket
ticket-closed-title = There are no tickets yet
ticket-made-title = The ticket is ready
ticket-made-body = Give these to your program. The ticket is shown only once; if you lose it, make another one.
ticket-user = User name
ticket-password = Password (renewal ticket)
ticket-url = Address (EST)
ticket-until = Works until
ticket-next = Once the program has the new certificate, log in with it and your password. That puts it into use; until then the present certificate keeps working.
ticket-care = Give the ticket to nobody, and do not send it by mail. We tell you by mail when a certificate is issued with it.
ticket-back = To the main screen

est-recorded = The request is recorded, and the certificate cannot be signed at the moment. Please wait { $wait } and send the same request again: it will be answered with the certificate.
est-base64 = The body is not Base64 of a PKCS#10 request in DER. Send it without the lines that begin and end a PEM file. Nothing was changed.
est-names = Subject or subjectAltName of the request are not those of the present certificate (RFC 7030, 4.2.2). Leave them out, or make them the same: nothing but the key is taken from a request. Nothing was changed.
est-ticket-needed = A renewal takes a ticket. Log in to the portal with your certificate and password, open “Renewal ticket for programs” and make one. Send your ID as the user name and the ticket as the password.
est-ticket-wrong = The renewal ticket does not hold: it is over, or not for this ID, this certificate and its open renewal, or you have logged out since. Log in to the portal and make another one.
est-password-needed = To obtain a certificate, send your ID as the user name and your password as the password.
est-code-sent = { $minutes ->
    [one] If ID and password are right, a mail is on its way to the registered address. Send the same request again within 1 minute, with the cookie of this answer, your ID as the user name and the code of the mail as the password.
   *[other] If ID and password are right, a mail is on its way to the registered address. Send the same request again within { $minutes } minutes, with the cookie of this answer, your ID as the user name and the code of the mail as the password.
}
est-code-wrong = The code does not belong to this ID and this cookie. Please check it and try again.
est-enrolment-over = The code is over, or was entered wrongly too often. Begin again, with your ID and password and without the cookie.
est-certificate-needed = A renewal takes a certificate that we issued, shown in the TLS handshake. Without one, obtain a certificate by simpleenroll.
est-expired = The certificate has expired and cannot be renewed. Obtain a new one by simpleenroll, or in a browser at { $url }/enrol.
est-not-in-use = The certificate cannot be renewed: it is not in use yet, or it was replaced or revoked. Log in to the portal to see which certificate is in use.
