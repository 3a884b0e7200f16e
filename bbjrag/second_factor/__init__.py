"""An optional second factor for the admin: codes of an app (TOTP), and recovery codes.

The parts come from allauth.mfa; its own pages and its login are not used. Nothing here is imported
while SECOND_FACTOR is off.
"""
