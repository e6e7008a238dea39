# 言葉。短い名前は画面の左の列に、正式な名前は文の中に使う。
list-separator = ・
certificate-authentication = 利用者証明用電子証明書
certificate-signature = 署名用電子証明書
kind-authentication = 利用者証明用
kind-signature = 署名用
role-operator = 操作者
role-access-manager = アクセス管理責任者
item-name = 氏名
item-alias = 通称
item-address = 住所
item-birth = 生年月日
item-sex = 性別
