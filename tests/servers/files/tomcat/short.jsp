<%@page buffer="64kb" session="false"%>hello
