"""Optional single sign-on for the admin, by OpenID Connect.

The conversation with the provider comes from allauth.socialaccount; its own pages, sign-ups and
login are not used. Nothing here is imported while OIDC_ISSUER is unset.
"""
