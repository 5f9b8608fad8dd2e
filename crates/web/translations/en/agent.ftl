# Renewal and enrolment by the agent: the pages, and what agents are told
agent-title = Go on with the agent
agent-offer-title = Keep the key in this computer
agent-offer-body = On a computer with the Koshin agent, the key can be made inside the computer, and the certificate is installed for you. There is no file to save or to import.
agent-submit = Renew with the agent
agent-required = Your certificate is renewed with the Koshin agent.
agent-required-enrolment = Begin again with your ID and password, and choose “Go on with the agent” where the code is asked for.
agent-begun = This procedure was begun with the agent. Please go on with the agent on the same computer.
agent-watch = See how far it is
agent-issued = The certificate with serial number { $serial } has been issued. When you go on with the agent, it installs this same certificate; no other one is issued.

agent-open-title = Open the agent
agent-open-body = When your browser asks whether to open the Koshin agent, allow it.
agent-open-submit = Open the agent
agent-open-until = This link works once, until { $until }.
agent-digits-title = Type the four digits
agent-digits-body = When the agent asks for a number, type this one.
agent-digits-note = The number shows that you are the one who sees this page. Tell it to nobody who asks for it by telephone or by mail.
agent-code-title = Type the code
agent-code-body = When the agent asks for a code, type the one that was sent to you by mail.
agent-follow-title = Answer “Web access confirmation”
agent-follow-body = The agent asks you twice. Choose “Yes” each time. When it is done, this page goes on by itself.
agent-at-work = This page changes by itself as the agent goes on.
agent-silent-title = The agent does not answer
agent-silent-body = Please check whether the Koshin agent is installed on this computer. If it is not, install and register the agent that your help desk has told you of, and choose “Open the agent” again.
agent-silent-ask = If you do not know how to install it, ask the help desk below.
agent-file-way = Renew with a file, without the agent
agent-code-way = Type the code on this site, without the agent
agent-void-title = The number was wrong three times
agent-void-body = To be safe, this link no longer works. Nothing was issued. Begin again with a new link.
agent-again = Make a new link
agent-join = I have typed the code: go on
agent-reload = Reload this page
agent-code-offer-title = Go on with the agent
agent-code-offer-body = On a computer with the Koshin agent, the key can be made inside the computer. You then type the code into the agent, not on this page.
agent-code-offer-submit = Go on with the agent

agent-word-opening = Waiting for the agent…
agent-word-opened = The agent is open. Please type the number.
agent-word-confirmed = The number is right. Please answer the agent…
agent-word-requested = The certificate is being issued…
agent-word-issued = The certificate has been issued. Please answer the agent…
agent-word-delivered = It is installed. Checking that it works…
agent-word-activated = Done. Going on to the completion page…
agent-word-lost = We cannot see how far it is. Please look at the agent, and open this page again.

agent-malformed = What was sent could not be read. Nothing was changed. If the agent is an old one, replace it with a new one.
agent-over = This has timed out, or you have logged out since. Open the agent again from the portal’s page.
agent-no-certificate = No certificate was shown. A renewal takes the certificate that you use now.
agent-certificate = The certificate that was shown cannot be renewed: it has expired, or was replaced or revoked.
agent-other-certificate = This ticket belongs to another certificate. Nothing was issued. If you came here by a link that you do not know, tell the help desk.
agent-ticket-wrong = This ticket does not work: it has timed out, or you have logged out since. Make a new link on the portal’s page.
agent-ticket-used = This ticket has been used. Make a new link on the portal’s page.
agent-not-confirmed = The number has not been confirmed.
agent-code-wrong = { $left ->
    [one] The number is wrong. You have 1 try left.
   *[other] The number is wrong. You have { $left } tries left.
}
agent-code-exhausted = The number was wrong too often, so this is void. Nothing was issued. Begin again from the portal’s page.
agent-protection = Nothing is issued for a key in this place: { $claimed }. It takes at least: { $minimum }.
agent-off = This ID cannot use the agent. Please use the portal’s pages.
agent-not-found = There is no such procedure.
agent-other-key = This procedure goes on with another key. Use the same key, or choose “Start again with a new key” on the portal’s page.
agent-key-seen = This key was used in another procedure. Make a new one.
agent-out-of-place = This cannot be done at this point.
agent-ended = This procedure has ended. Begin again from the portal’s page.
agent-activation = The certificate that was shown is not the one that was issued in this procedure.
agent-ca-away = The certification authority cannot issue at the moment. Nothing is lost. Please go on later, with the same request.
