# Words. The short names stand in the left column of the screen, the official ones in sentences.
list-separator = {", "}
certificate-authentication = user authentication certificate
certificate-signature = signing certificate
kind-authentication = authentication
kind-signature = signing
role-operator = operator
role-access-manager = access manager
item-name = name
item-alias = alias
item-address = address
item-birth = date of birth
item-sex = sex
