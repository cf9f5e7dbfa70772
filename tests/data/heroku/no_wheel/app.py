import tinymodel

tinymodel.answer()
