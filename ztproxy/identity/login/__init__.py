"""From no session to a session, and back: browsers log in at their issuer, step up, and log out.

`service.Logins` is what the stage uses; `starting` sends browsers to the issuer, `callback` takes its answer, `central`
lets one host log people in for many, `logout` and `back_channel` end what was begun.
"""
